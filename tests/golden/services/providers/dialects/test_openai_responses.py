"""Every recorded response reads into the canonical form and back, and the same again; passed on, it stays as it is."""

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from services.providers.domain.canonical import Answer, Ask, Delta, Ended, Failed, Message, Refused, Text, Thinking
from services.providers.domain.dialect import Asked, Outgoing, Wire
from services.providers.domain.dialects.openai_responses.dialect import CLIENT, SPEECH
from services.providers.domain.errors import failed as failure_of
from services.providers.domain.gathering import gathered
from services.providers.domain.registry import VENDORS
from services.providers.domain.sse import parse_event, split_events
from services.providers.domain.translate import translated
from services.providers.domain.translating import TranslatedStream
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Tail
from shared.contracts.response_id import Place, decode_response_id, encode_response_id
from tests.support.recordings import answers, recorded, streams

API = "openai-responses"
ASK = Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))
ASKED = Asked(id="0" * 32, model="p/m", created=1, ask=ASK)
EVENT = TypeAdapter(ResponseStreamEvent)
OWN_SHAPES = ("ai.xai-web-search-tool-1", "test-openai-responses-model-web-search-tool-stream", "openapi-11")
"""Calls of vendors' own tools, carried as they are, that the SDK's types (of another day) do not know."""
CUT_SHORT = ("openapi-13",)
"""An example of the documentation that leaves out most of its deltas."""


def completion(*, stream: bool, **body: Any) -> Completion:
    return Completion(
        attempt_id="01900000-0000-7000-8000-000000000001",
        request_id="r",
        provider_id="p",
        native_id="m",
        model="p/m",
        dialect="openai_responses",
        body={"input": "hi", **body},
        stream=stream,
    )


def events(raw: bytes) -> list[Any]:
    whole = split_events(raw.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n\n")
    return [found for event in whole if (found := parse_event(event)) is not None and found.data]


def decoded(raw: bytes) -> list[Delta]:
    decoder = SPEECH.stream_decoder()
    return [delta for event in events(raw) for delta in decoder.feed(event.event, event.data)]


def said(answer: Answer) -> Answer:
    """Without what LocalRouter puts in its place: the id, the model's name, the tier, a count that was not made."""
    tokens = msgspec.structs.replace(answer.tokens, source="provider")
    return msgspec.structs.replace(answer, id=None, model=None, service_tier=None, tokens=tokens)


def unsealed(answer: Answer) -> Answer:
    """Without ids and ciphertexts of thoughts, which vendors make anew for their last event."""
    parts = [
        msgspec.structs.replace(part, signature=None, id=None) if isinstance(part, Thinking) else part
        for part in answer.choices[0].parts
    ]
    return msgspec.structs.replace(answer, choices=(msgspec.structs.replace(answer.choices[0], parts=tuple(parts)),))


def test_every_recorded_answer_is_the_same_after_a_round_and_the_sdk_reads_it():
    seen: Counter[str] = Counter()
    for file, body in answers(API, "responses"):
        answer = SPEECH.decode_answer(msgspec.json.decode(body))
        payload = CLIENT.encode_answer(answer, ASKED)
        assert said(SPEECH.decode_answer(msgspec.json.decode(payload))) == said(answer), file
        if not any(name in file for name in OWN_SHAPES):
            read = Response.model_validate_json(payload)
            assert read.output_text == "".join(p.text for p in answer.choices[0].parts if isinstance(p, Text)), file
        seen[file.partition("/")[0]] += 1
    print(f"{seen.total()} answers of {len(seen)} vendors: {dict(seen)}")
    assert seen.total() >= 99
    assert len(seen) == 6


def test_every_recorded_stream_is_the_same_after_a_round_and_the_sdk_reads_every_event():
    seen: Counter[str] = Counter()
    failed: list[str] = []
    for file, raw in streams(API):
        deltas = decoded(raw)
        if any(isinstance(delta, Failed) for delta in deltas):
            failed.append(file)
            continue
        answer = gathered(deltas)
        encoder = CLIENT.stream_encoder(ASKED)
        sent = b"".join(encoder.encode(delta) for delta in deltas if not isinstance(delta, Ended))
        last, closing = encoder.end(answer.tokens)
        again = gathered(decoded(sent + last + closing))
        assert said(again) == said(answer), file
        numbers = [msgspec.json.decode(event.data)["sequence_number"] for event in events(sent + last + closing)]
        assert numbers == list(range(len(numbers))), file
        if not any(name in file for name in OWN_SHAPES):
            for event in events(sent + last + closing):
                EVENT.validate_json(event.data)
        seen[file.partition("/")[0]] += 1
    print(f"{seen.total()} streams of {len(seen)} vendors: {dict(seen)}")
    assert seen.total() >= 73
    assert sorted(failed) == [
        "openai/stream/prism.stream-rate-limited-1-0-69babf.json",
        "openai/stream/prism.stream-unknown-error-responses-1-0-c5cee1.json",
    ]


def test_every_recorded_stream_tells_what_its_last_event_tells():
    same = 0
    for file, raw in streams(API):
        deltas = decoded(raw)
        if isinstance(deltas[-1], Failed) or any(name in file for name in CUT_SHORT):
            continue
        last = next(msgspec.json.decode(e.data) for e in reversed(events(raw)) if b'"response"' in e.data)
        whole = SPEECH.decode_answer(last["response"])
        streamed = gathered(deltas)
        assert unsealed(streamed).choices == unsealed(whole).choices, file
        assert streamed.tokens == whole.tokens, file
        same += 1
    assert same >= 72


def read(raw: list[bytes]) -> tuple[bytes, Any]:
    return collected(TranslatedStream(completion(stream=True), ASKED, SPEECH, CLIENT), raw)


def collected(reader: Any, raw: list[bytes]) -> tuple[bytes, Any]:
    frames: list[Any] = []
    for piece in raw:
        frames += reader.feed(piece)
        if frames and not isinstance(frames[-1], Data):
            break
    else:
        frames += reader.finish()
    return b"".join(frame.payload for frame in frames if isinstance(frame, Data)), frames[-1]


def passed_through(**body: Any) -> Outgoing:
    out = translated(completion(stream=True, **body), VENDORS["openai"], 0)
    assert isinstance(out, Outgoing)
    assert out.bound is not None
    return out.bound("c")


def test_every_split_of_a_recorded_stream_reads_the_same():
    shortest = sorted((raw for _, raw in streams(API)), key=len)[:2]
    cuts = 0
    for raw in shortest:
        whole = read([raw])
        native = collected(passed_through().reader(), [raw])
        assert read([raw[at : at + 1] for at in range(len(raw))]) == whole
        for at in range(1, len(raw)):
            assert read([raw[:at], raw[at:]]) == whole
            assert collected(passed_through().reader(), [raw[:at], raw[at:]]) == native
            cuts += 1
    assert cuts > 1_000


@pytest.mark.faults
def test_every_recorded_stream_reads_the_same_in_a_thousand_splits():
    chance = random.Random(1)
    for _file, raw in streams(API):
        whole, native = read([raw]), collected(passed_through().reader(), [raw])
        for _ in range(1_000 if len(raw) < 20_000 else 20):
            at = sorted(chance.sample(range(len(raw) + 1), min(len(raw), chance.randint(1, 20))))
            pieces = [raw[a:b] for a, b in zip([0, *at], [*at, len(raw)], strict=True)]
            assert read(pieces) == whole
            assert collected(passed_through().reader(), pieces) == native


def test_every_recorded_stream_passes_byte_equal_but_for_its_own_id():
    seen: Counter[str] = Counter()
    for file, raw in streams(API):
        payload, last = collected(passed_through().reader(), [raw])
        if isinstance(last, Fail):
            assert last.kind in (FailureKind.RATE_LIMITED, FailureKind.SERVER_ERROR), (file, last)
            continue
        assert isinstance(last, Tail)
        began = msgspec.json.decode(events(raw)[0].data)["response"]["id"]
        ours = encode_response_id(Place("p", "c", began))
        assert decode_response_id(ours) == Place("p", "c", began)
        wanted = raw.replace(f'"id":"{began}"'.encode(), f'"id":"{ours}"'.encode())
        wanted = wanted.replace(f'"id": "{began}"'.encode(), f'"id": "{ours}"'.encode())
        # What follows the last event, which some vendors send, is no event of this dialect.
        assert (payload + last.closing).strip() == wanted.strip().removesuffix(b"data: [DONE]").strip(), file
        assert f'"{began}"'.encode() not in payload + last.closing, file
        assert (last.tokens.source == "provider") is (decoded_tokens(raw) is not None), file
        seen[file.partition("/")[0]] += 1
    print(f"{seen.total()} streams pass: {dict(seen)}")
    assert seen.total() >= 73


def decoded_tokens(raw: bytes) -> Any:
    tokens = gathered(decoded(raw)).tokens
    return tokens if tokens.source == "provider" else None


def test_every_recorded_answer_passes_byte_equal_but_for_its_own_id():
    passed = 0
    for file, body in answers(API, "responses"):
        frames = passed_through().whole(body)
        response = msgspec.json.decode(body)
        if isinstance(frames[0], Fail):
            assert not response["output"], (file, frames)
            continue
        data, tail = frames
        assert isinstance(data, Data)
        assert isinstance(tail, Tail)
        ours = encode_response_id(Place("p", "c", response["id"]))
        assert msgspec.json.decode(data.payload) == {**response, "id": ours}, file
        assert tail.tokens == SPEECH.decode_answer(response).tokens or tail.tokens.source == "estimated", file
        passed += 1
    assert passed >= 99


def test_every_recorded_request_is_read_and_asked_again():
    seen = 0
    refused: Counter[str] = Counter()
    for kind in ("responses", "stream", "error"):
        for case in recorded(API, kind):
            body = case["request"].get("body")
            if not isinstance(body, dict):
                continue
            try:
                ask = CLIENT.decode_request(body)
            except Refused as error:
                refused[error.param] += 1
                continue
            again = CLIENT.decode_request(SPEECH.encode_request(ask, Wire(native_id="m")))
            texts = [part for message in ask.messages for part in message.parts if isinstance(part, Text)]
            kept = [part for message in again.messages for part in message.parts if isinstance(part, Text)]
            assert [part.text for part in texts] == [part.text for part in kept], case["file"]
            assert len(again.tools) == len(ask.tools)
            assert again.format == ask.format
            seen += 1
    print(f"{seen} requests, not read: {dict(refused)}")
    assert seen >= 159
    assert refused == {"prompt": 2}, "templates lie with OpenAI"


def test_every_recorded_error_is_of_its_kind():
    kinds: Counter[str] = Counter()
    for case in recorded(API, "error"):
        raw = msgspec.json.encode(case["response"]["body"])
        failure = failure_of(case["response"]["status"], raw, {}, now=datetime(2026, 1, 1, tzinfo=UTC))
        assert failure.message
        kinds[failure.kind.value] += 1
    assert kinds["authentication"] == 7
    assert kinds["model_not_found"] == 3
    assert kinds["invalid_request"] + kinds["unsupported"] == 7
