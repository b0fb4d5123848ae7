"""Every recorded message of Anthropic's is read and written the same, and passes through byte-exact, anywhere cut."""

import random
from collections import Counter
from itertools import pairwise

import msgspec
import pytest

from services.providers.domain.canonical import Answer, Ask, Delta, Ended, Message, Refused, Text
from services.providers.domain.dialect import Asked, Outgoing, Wire
from services.providers.domain.dialects.anthropic_messages.dialect import CLIENT, NATIVE, SPEECH
from services.providers.domain.gathering import gathered
from services.providers.domain.registry import VENDORS
from services.providers.domain.sse import parse_event, split_events
from services.providers.domain.translate import translated
from shared.contracts.frames import Completion, Data, Tail
from tests.support.recordings import answers, recorded, streams

ASK = Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))
ASKED = Asked(id="0" * 32, model="p/m", created=1, ask=ASK)
API = "anthropic-messages"


def completion(body: dict, dialect: str = "anthropic_messages", *, stream: bool = False) -> Completion:
    return Completion(
        attempt_id="a", request_id="r", provider_id="p", native_id=body.get("model") or "claude-haiku-4-5",
        model="p/m", dialect=dialect, body=body, stream=stream,
    )  # fmt: skip


def decoded(raw: bytes) -> list[Delta]:
    decoder = SPEECH.stream_decoder()
    events = [parse_event(event) for event in split_events(raw.rstrip(b"\n") + b"\n\n")]
    return [
        delta for event in events if event is not None and event.data for delta in decoder.feed(event.event, event.data)
    ]


def said(answer: Answer) -> Answer:
    return msgspec.structs.replace(answer, id=None, model=None, service_tier=None)


def test_every_recorded_answer_is_the_same_after_a_round_and_passes_through_byte_exact():
    count = 0
    for file, body in answers(API, "messages"):
        answer = SPEECH.decode_answer(msgspec.json.decode(body))
        again = SPEECH.decode_answer(msgspec.json.decode(CLIENT.encode_answer(answer, ASKED)))
        assert said(again) == said(answer), file
        data, tail = NATIVE.whole(completion({}), body)
        assert data == Data(body, content=True), file
        assert isinstance(tail, Tail), file
        assert tail.tokens == answer.tokens, file
        assert tail.answered == answer.model, file
        count += 1
    assert count == 57


def test_every_recorded_stream_is_the_same_after_a_round_and_passes_through_byte_exact():
    count = 0
    for file, raw in streams(API):
        deltas = decoded(raw)
        answer = gathered(deltas)
        encoder = CLIENT.stream_encoder(ASKED)
        sent = b"".join(encoder.encode(delta) for delta in deltas if not isinstance(delta, Ended))
        last, closing = encoder.end(answer.tokens)
        assert said(gathered(decoded(sent + last + closing))) == said(answer), file
        out, tail = passed([raw])
        assert out.rstrip(b"\n") == raw.rstrip(b"\n"), file
        assert tail.tokens == answer.tokens, file
        assert b"message_stop" in tail.closing, file
        count += 1
    assert count == 57


def passed(pieces: list[bytes]) -> tuple[bytes, Tail]:
    reader = NATIVE.reader(completion({}, stream=True))
    frames = [frame for piece in pieces for frame in reader.feed(piece)]
    if not frames or not isinstance(frames[-1], Tail):
        frames += reader.finish()
    tail = frames[-1]
    assert isinstance(tail, Tail)
    return b"".join(frame.payload for frame in frames if isinstance(frame, Data)) + tail.closing, tail


def test_a_recorded_stream_cut_anywhere_passes_through_the_same():
    shortest = sorted((raw for _, raw in streams(API)), key=len)[:3]
    for raw in shortest:
        whole = passed([raw])
        assert all(passed([raw[:at], raw[at:]]) == whole for at in range(len(raw)))


@pytest.mark.faults
def test_every_recorded_stream_cut_at_random_passes_through_the_same():
    chance = random.Random(7)
    for file, raw in streams(API):
        whole = passed([raw])
        for _ in range(1_000):
            cuts = [0, *sorted(chance.randrange(len(raw)) for _ in range(chance.randrange(1, 20))), len(raw)]
            assert passed([raw[a:b] for a, b in pairwise(cuts)]) == whole, file


NOT_READ = {
    "tools[].defer_loading": 3,
    "messages[].content[].content[]": 2,
    "messages[].content[]": 2,
}
"""What only Anthropic's own machinery knows (tools loaded late, references to them, files that lie with the vendor), by
place: no other vendor could be told, so it is refused by name."""


def test_every_recorded_request_is_read_and_said_again_to_anthropic():
    seen: Counter[str] = Counter()
    for kind in ("messages", "stream"):
        for case in recorded(API, kind):
            body = case["request"].get("body")
            if not isinstance(body, dict) or "messages" not in body:
                continue
            try:
                told = SPEECH.encode_request(CLIENT.decode_request(body), Wire(native_id=body["model"]))
            except Refused as refused:
                seen["".join(letter for letter in refused.param if not letter.isdigit())] += 1
                continue
            assert told["model"] == body["model"]
            assert len(told["messages"]) <= len(body["messages"])
            seen["read"] += 1
    assert seen.pop("read") >= 89
    assert dict(seen) == NOT_READ


def test_every_recorded_count_passes_through_and_a_foreign_vendor_estimates_it():
    for case in recorded("count_tokens", "count_tokens"):
        if case["provider"] != "anthropic":
            continue
        asked = completion(case["request"]["body"], "anthropic_count_tokens")
        out = translated(asked, VENDORS["anthropic"], 1)
        assert isinstance(out, Outgoing)
        assert out.path == "/messages/count_tokens"
        body = msgspec.json.encode(case["response"]["body"])
        assert out.whole(body) == [Data(body, content=True), Tail()]
