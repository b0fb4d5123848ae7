"""Whatever Gemini or Cohere answers, it is read or refused; what was read goes back as it came."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.providers.domain.canonical import Ask, Message, Part, Signature, Text, ToolCall
from services.providers.domain.dialect import Malformed, VendorFailed, Wire
from services.providers.domain.dialects.cohere_chat.dialect import SPEECH as COHERE
from services.providers.domain.dialects.gemini.dialect import SPEECH as GEMINI
from services.providers.domain.errors import UNREADABLE, error_in_answer, error_of, failed
from services.providers.domain.gathering import gathered

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEAVES = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=8)
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
READ = (Malformed, VendorFailed, *UNREADABLE)
SIGNATURES = st.none() | st.builds(Signature, st.just("gemini"), st.sampled_from(["c2ln", "Eq_B-8="]))
TEXTS = st.builds(Text, text=st.text(min_size=1, max_size=20), signature=SIGNATURES)
CALLS = st.builds(
    ToolCall,
    id=st.uuids().map(str),
    name=st.sampled_from(["f", "g"]),
    arguments=st.sampled_from(["{}", '{"a":[1,{"b":"é"}]}']),
    signature=SIGNATURES,
)


def loosened(shape: Any) -> st.SearchStrategy[Any]:
    """An answer in which anything may be of another type, or not be there."""
    if isinstance(shape, dict):
        fields = {name: loosened(value) for name, value in shape.items()}
        return st.fixed_dictionaries({}, optional=fields) | JSON
    if isinstance(shape, list):
        return st.lists(st.one_of([loosened(item) for item in shape]), max_size=3) | JSON
    return st.just(shape) | LEAVES


OF_GEMINI = {
    "candidates": [
        {
            "content": {
                "parts": [
                    {"text": "a", "thought": True, "thoughtSignature": "c2ln"},
                    {"functionCall": {"name": "f", "args": {"a": 1}, "id": "1"}},
                    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                    {"executableCode": {"code": "1"}},
                ]
            },
            "index": 0,
            "finishReason": "STOP",
            "logprobsResult": {"chosenCandidates": [{"token": "a"}], "topCandidates": [{"candidates": [{}]}]},
            "groundingMetadata": {
                "groundingChunks": [{"web": {"uri": "https://a.example", "title": "a"}}],
                "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 1}, "groundingChunkIndices": [0]}],
            },
        }
    ],
    "promptFeedback": {"blockReason": "SAFETY"},
    "usageMetadata": {"promptTokenCount": 1, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}]},
    "error": None,
}
OF_COHERE = {
    "type": "content-delta",
    "index": 0,
    "delta": {
        "message": {"content": {"text": "a"}, "tool_calls": {"id": "1", "function": {"name": "f"}}, "citations": {}},
        "finish_reason": "COMPLETE",
        "usage": {"billed_units": {"input_tokens": 1}},
    },
}
OF_ERRORS = {
    "error": {
        "message": [{"loc": ["a"], "msg": "b"}],
        "code": 429,
        "status": "RESOURCE_EXHAUSTED",
        "details": [{"retryDelay": "1s", "reason": "API_KEY_INVALID", "violations": [{"quotaId": "PerDay"}]}],
        "metadata": {"headers": {"x-ratelimit-reset": "1"}, "raw": "x"},
    }
}


@given(loosened(OF_GEMINI))
def test_any_answer_of_gemini_is_read_or_refused(body):
    for read in (
        lambda: GEMINI.decode_answer(body),
        lambda: GEMINI.stream_decoder().feed("", msgspec.json.encode(body)),
    ):
        try:
            read()
        except READ:
            continue


@given(
    st.lists(loosened(OF_COHERE), max_size=4), st.sampled_from(["content-delta", "tool-call-start", "citation-start"])
)
def test_any_event_of_cohere_is_read_or_refused(events, kind):
    decoder = COHERE.stream_decoder()
    for event in events:
        if isinstance(event, dict):
            event["type"] = kind
        with contextlib.suppress(*READ):
            decoder.feed("", msgspec.json.encode(event))


@given(loosened(OF_ERRORS), st.integers(300, 599), st.dictionaries(st.text(max_size=12), st.text(max_size=12)))
def test_any_error_is_one_of_a_kind(body, status, headers):
    found = failed(status, msgspec.json.encode(body), headers, now=NOW)
    assert found.message
    assert found.retry_after_ms is None or found.retry_after_ms >= 0
    assert error_in_answer(error_of(body)).message


@given(st.lists(TEXTS | CALLS, min_size=1, max_size=5))
def test_what_gemini_said_goes_back_and_reads_the_same(parts: list[Part]):
    ask = Ask(messages=(Message(role="assistant", parts=tuple(parts)),))
    sent = GEMINI.encode_request(ask, Wire(native_id="gemini-2.5-flash"))["contents"][0]["parts"]
    body = {"candidates": [{"content": {"parts": sent, "role": "model"}, "finishReason": "STOP"}]}
    answer = GEMINI.decode_answer(body)
    assert spelled(answer.choices[0].parts) == spelled(tuple(parts))
    pieces = [{"candidates": [{"content": {"parts": [part]}}]} for part in sent]
    decoder = GEMINI.stream_decoder()
    deltas = [delta for piece in pieces for delta in decoder.feed("", msgspec.json.encode(piece))]
    assert gathered(deltas).choices[0].parts == answer.choices[0].parts


def spelled(parts: tuple[Part, ...]) -> list[Any]:
    """The parts; words that stand beside each other are one text, up to a signature."""
    found: list[Any] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, Text) and isinstance(last, Text) and last.signature is None:
            found[-1] = Text(text=last.text + part.text, signature=part.signature)
        else:
            found.append(part)
    return found
