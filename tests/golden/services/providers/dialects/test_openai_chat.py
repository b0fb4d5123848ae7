"""Every recorded chat of OpenAI's dialect reads into the canonical form, and back, and the same again."""

import random
from collections import Counter
from typing import Any

import msgspec
import pytest

from services.providers.domain.canonical import Answer, Ask, Delta, Failed, Message, Text
from services.providers.domain.dialect import Asked, VendorFailed
from services.providers.domain.dialects.openai_chat.answer import TIERS
from services.providers.domain.dialects.openai_chat.dialect import CLIENT, SPEECH
from services.providers.domain.gathering import gathered
from services.providers.domain.sse import parse_event, split_events
from services.providers.domain.translating import TranslatedStream
from shared.contracts.frames import Completion, Data, Tail
from tests.support.recordings import answers, recorded, streams

ASK = Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))
ASKED = Asked(id="0" * 32, model="p/m", created=1, ask=ASK, include_usage=True)


def decoded(raw: bytes) -> list[Delta]:
    decoder = SPEECH.stream_decoder()
    found: list[Delta] = []
    for event in split_events(raw.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n\n"):
        parsed = parse_event(event)
        if parsed is not None and parsed.data:
            found += decoder.feed(parsed.event, parsed.data)
    return found


def said(answer: Answer, origin: Answer | None = None) -> Answer:
    """Without what LocalRouter puts in its place: the id, the model's name, the count that a vendor did not make."""
    counted = origin is None or origin.tokens.source == "provider"
    tier = answer.service_tier if answer.service_tier in TIERS else None
    return msgspec.structs.replace(
        answer, id=None, model=None, service_tier=tier, tokens=answer.tokens if counted else origin.tokens
    )


def test_every_recorded_answer_is_the_same_after_a_round():
    seen: Counter[str] = Counter()
    failed: list[str] = []
    for file, body in answers("openai-chat", "chat"):
        try:
            answer = SPEECH.decode_answer(msgspec.json.decode(body))
        except VendorFailed:
            failed.append(file)
            continue
        again = SPEECH.decode_answer(msgspec.json.decode(CLIENT.encode_answer(answer, ASKED)))
        assert said(again, answer) == said(answer), file
        seen[file.partition("/")[0]] += 1
    print(f"{seen.total()} answers of {len(seen)} vendors: {dict(seen)}")
    assert seen.total() >= 340
    assert [file.partition("/")[0] for file in failed] == ["azure"], "its prompt filter answers 200 with an error"


def test_every_recorded_stream_is_the_same_after_a_round():
    seen: Counter[str] = Counter()
    failed: list[str] = []
    for file, raw in streams("openai-chat"):
        deltas = decoded(raw)
        if any(isinstance(delta, Failed) for delta in deltas):
            failed.append(file)
            continue
        answer = gathered(deltas)
        encoder = CLIENT.stream_encoder(ASKED)
        sent = b"".join(encoder.encode(delta) for delta in deltas if type(delta).__name__ != "Ended")
        last, closing = encoder.end(answer.tokens)
        again = gathered(decoded(sent + last + closing))
        assert said(again, answer) == said(answer), file
        seen[file.partition("/")[0]] += 1
    print(f"{seen.total()} streams of {len(seen)} vendors: {dict(seen)}")
    assert seen.total() >= 170
    assert len(failed) <= 3, failed


def read(raw: list[bytes]) -> tuple[bytes, Any]:
    request = Completion(
        attempt_id="a", request_id="r", provider_id="p", native_id="m", model="p/m", dialect="openai_chat",
        body={"messages": []}, stream=True, include_usage=True,
    )  # fmt: skip
    reader = TranslatedStream(request, ASKED, SPEECH, CLIENT)
    frames: list[Any] = []
    for piece in raw:
        frames += reader.feed(piece)
        if frames and not isinstance(frames[-1], Data):
            break
    else:
        frames += reader.finish()
    return b"".join(frame.payload for frame in frames if isinstance(frame, Data)), frames[-1]


def test_every_split_of_a_recorded_stream_reads_the_same():
    cuts = 0
    for _file, raw in streams("openai-chat"):
        if len(raw) > 1_500:
            continue
        whole = read([raw])
        assert read([raw[at : at + 1] for at in range(len(raw))]) == whole
        for at in range(1, len(raw)):
            assert read([raw[:at], raw[at:]]) == whole
            cuts += 1
    assert cuts > 1_000


@pytest.mark.faults
def test_every_recorded_stream_reads_the_same_in_a_thousand_splits():
    chance = random.Random(1)
    for _file, raw in streams("openai-chat"):
        whole = read([raw])
        for _ in range(1_000 if len(raw) < 20_000 else 20):
            at = sorted(chance.sample(range(len(raw) + 1), min(len(raw), chance.randint(1, 20))))
            assert read([raw[a:b] for a, b in zip([0, *at], [*at, len(raw)], strict=True)]) == whole


def test_every_recorded_request_is_read():
    read_ = 0
    refused: Counter[str] = Counter()
    for kind in ("chat", "stream"):
        for case in recorded("openai-chat", kind):
            body = case["request"].get("body")
            if not isinstance(body, dict) or not body.get("messages"):
                continue
            try:
                ask = CLIENT.decode_request(body)
            except Exception as error:  # noqa: BLE001  the names of what is not read are what is asserted
                refused[f"{error}"] += 1
                continue
            assert len(ask.messages) <= len(body["messages"])
            read_ += 1
    print(f"{read_} requests read, not read: {dict(refused)}")
    assert read_ >= 250


def test_a_stream_that_is_only_framed_otherwise_ends_well():
    done, counted = 0, 0
    for _file, raw in streams("openai-chat"):
        tail = read([raw])[1]
        done += isinstance(tail, Tail)
        counted += isinstance(tail, Tail) and tail.tokens.source == "provider"
    print(f"{done} streams end well, {counted} counted by their vendor")
    assert done >= 165
