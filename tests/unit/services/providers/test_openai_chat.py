"""The same dialect on both sides: what is changed in a request, and what an answer must hold."""

from typing import Any

import pytest

from services.providers.domain.dialect import Outgoing
from services.providers.domain.registry import VENDORS
from services.providers.domain.translate import translated
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Tail


def request(*, stream: bool = False, include_usage: bool = False, **body: Any) -> Completion:
    return Completion(
        attempt_id="a",
        request_id="r",
        provider_id="p",
        native_id="gpt-x",
        model="openai/gpt-x",
        dialect="openai_chat",
        body={"model": "auto", **body},
        stream=stream,
        include_usage=include_usage,
    )


def out(asked: Completion, vendor: str = "openai") -> Outgoing:
    found = translated(asked, VENDORS[vendor], 0)
    assert isinstance(found, Outgoing)
    return found


def test_unknown_fields_pass_and_our_own_go():
    asked = request(messages=[], user="u", brand_new={"a": 1}, models=["x"], usage={"include": True})
    assert out(asked).body == {"model": "gpt-x", "messages": [], "user": "u", "brand_new": {"a": 1}}
    assert asked.body["models"] == ["x"], "the client's body is not ours to change"


def test_usage_is_always_asked_of_a_stream():
    asked = request(stream=True, stream_options={"include_obfuscation": False})
    assert out(asked).body["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert "stream_options" not in out(request(stream_options={"include_usage": True})).body


def test_a_vendor_that_refuses_unknown_fields_is_not_asked():
    assert "stream_options" not in out(request(stream=True, stream_options={"include_usage": True}), "mistral").body


def test_a_dialect_that_nobody_knows_is_unsupported():
    asked = request()
    asked.dialect = "klingon"
    found = translated(asked, VENDORS["openai"], 0)
    assert isinstance(found, Fail)
    assert found.kind is FailureKind.UNSUPPORTED


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", FailureKind.MALFORMED),
        (b"<html>", FailureKind.MALFORMED),
        (b"[]", FailureKind.MALFORMED),
        (b"{}", FailureKind.MALFORMED),
        (b'{"choices":[]}', FailureKind.MALFORMED),
        (b'{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}', FailureKind.MALFORMED),
        (b'{"error":{"message":"overloaded","type":"overloaded_error"}}', FailureKind.OVERLOADED),
        (b'{"error":"boom"}', FailureKind.SERVER_ERROR),
        (b'{"error":{"message":"slow down","type":"rate_limit_exceeded"}}', FailureKind.RATE_LIMITED),
        (b'{"object":"error","message":"This model\'s maximum context length is 4"}', FailureKind.CONTEXT_LENGTH),
        (b'{"choices":[{"message":{"content":"x"}}],"error":{"message":"x"}}', FailureKind.SERVER_ERROR),
    ],
)
def test_a_200_without_an_answer_is_a_failure(raw, kind):
    (failure,) = out(request()).whole(raw)
    assert isinstance(failure, Fail)
    assert failure.kind is kind


@pytest.mark.parametrize(
    "message",
    [
        b'{"content":"x"}',
        b'{"content":null,"refusal":"no"}',
        b'{"content":null,"tool_calls":[{"id":"1"}]}',
        b'{"content":null,"function_call":{"name":"f"}}',
        b'{"content":[{"type":"text","text":"x"}]}',
        b'{"content":null,"audio":{"id":"a"}}',
    ],
)
def test_content_has_many_forms(message):
    raw = b'{"model":"m","choices":[{"message":' + message + b',"finish_reason":"stop"}]}'
    data, tail = out(request()).whole(raw)
    assert data == Data(raw, content=True)
    assert isinstance(tail, Tail)
    assert (tail.answered, tail.tokens.source) == ("m", "estimated")


def test_an_answer_may_be_empty_when_its_length_was_the_limit():
    _, tail = out(request()).whole(b'{"choices":[{"message":{"content":""},"finish_reason":"length"}]}')
    assert isinstance(tail, Tail)


def event(delta: bytes, finish: bytes = b"null") -> bytes:
    return b'data: {"choices":[{"index":0,"delta":' + delta + b',"finish_reason":' + finish + b"}]}\n\n"


ROLE = event(b'{"role":"assistant","content":""}')
HI = event(b'{"content":"hi"}')
STOP = event(b"{}", b'"stop"')
DONE = b"data: [DONE]\n\n"


def read(*pieces: bytes, **fields: Any) -> list[Any]:
    reader = out(request(stream=True, **fields)).reader()
    frames: list[Any] = []
    for piece in pieces:
        frames += reader.feed(piece)
        if frames and isinstance(frames[-1], Tail | Fail):
            return frames
    return frames + reader.finish()


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ([], FailureKind.MALFORMED),
        ([b": ping\n\n: ping\n\n"], FailureKind.MALFORMED),
        ([ROLE], FailureKind.CUT),
        ([ROLE, HI], FailureKind.CUT),
        ([ROLE, DONE], FailureKind.MALFORMED),
        ([ROLE, STOP, DONE], FailureKind.MALFORMED),
        ([ROLE, HI, b"data: {nope\n\n", DONE], FailureKind.MALFORMED),
        ([ROLE + HI + b"data: {nope}\n\n" + DONE], FailureKind.MALFORMED),
        ([ROLE, b'data: {"error":{"message":"overloaded"}}\n\n'], FailureKind.OVERLOADED),
        ([ROLE + HI + b'data: {"error":{"message":"x","code":502}}\n\n'], FailureKind.SERVER_ERROR),
        ([b"event: error\ndata: {\"error\":\"boom\"}\n\n"], FailureKind.SERVER_ERROR),
        ([HI, b'data: {"object":"error","message":"out of memory"}\n\n'], FailureKind.SERVER_ERROR),
        ([HI, b'data: {"detail":"no"}\n\n'], FailureKind.SERVER_ERROR),
        ([HI, b'data: {"odd":"no"}\n\n'], FailureKind.CUT),
        ([HI[:-10]], FailureKind.MALFORMED),
        ([b"data: " + b"x" * 1_100_000], FailureKind.MALFORMED),
    ],
)  # fmt: skip
def test_a_stream_without_a_proper_end_is_a_failure(pieces, kind):
    assert isinstance(read(*pieces)[-1], Fail)
    assert read(*pieces)[-1].kind is kind


def test_reasoning_is_life_but_not_content():
    reader = out(request(stream=True)).reader()
    (role,) = reader.feed(ROLE + b": ping\n\n")
    assert isinstance(role, Data)
    assert not role.content
    assert not reader.alive
    (thought,) = reader.feed(event(b'{"reasoning_content":"hm"}'))
    assert isinstance(thought, Data)
    assert not thought.content
    assert reader.alive


@pytest.mark.parametrize("last", [DONE, b"data: [DONE]", b"data:[DONE]\n\n", b"data: [DONE] \n", b"", b": bye\n\n"])
def test_a_finish_reason_or_done_in_any_form_is_an_end(last):
    frames = read(ROLE, HI, STOP, last)
    assert isinstance(frames[-1], Tail)
    assert frames[-1].finish_reason == "stop"


def test_what_comes_with_done_in_one_piece_is_not_lost():
    data, tail = read(ROLE + HI + STOP + DONE)
    assert data == Data(ROLE + HI + STOP, content=True)
    assert isinstance(tail, Tail)


def test_usage_in_each_chunk_is_replaced_by_the_last():
    def counted(output: int) -> bytes:
        usage = b'"usage":{"prompt_tokens":5,"completion_tokens":%d}' % output
        return b'data: {"choices":[{"index":0,"delta":{"content":"x"}}],' + usage + b"}\n\n"

    *_, tail = read(counted(1), counted(2), counted(3), STOP, DONE)
    assert (tail.tokens.input, tail.tokens.output, tail.tokens.source) == (5, 3, "provider")


def test_usage_that_only_groq_says_is_read():
    said = b'data: {"choices":[],"x_groq":{"usage":{"prompt_tokens":5,"completion_tokens":3}}}\n\n'
    *_, tail = read(HI, STOP, said, DONE)
    assert tail.tokens.output == 3


def test_the_usage_chunk_is_withheld_unless_asked_for():
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}\n\n'
    shown = b"".join(frame.payload for frame in read(HI + STOP + usage + DONE) if isinstance(frame, Data))
    assert shown == HI + STOP
    kept = read(HI + STOP + usage + DONE, include_usage=True)
    assert b"".join(frame.payload for frame in kept if isinstance(frame, Data)) == HI + STOP + usage
