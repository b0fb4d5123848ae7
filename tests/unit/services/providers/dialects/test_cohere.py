"""Cohere's side: what is asked of it, what its answers say."""

from typing import Any

import msgspec
import pytest

from services.providers.domain.canonical import (
    Ask,
    Begin,
    CallDelta,
    Citation,
    CitationDelta,
    Counted,
    Delta,
    EmbedAsk,
    Ended,
    Failed,
    Finish,
    Finished,
    Format,
    Media,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refused,
    Signature,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from services.providers.domain.dialect import Malformed, VendorFailed, Wire
from services.providers.domain.dialects.cohere_chat.dialect import EMBED_SPEECH, SPEECH
from shared.contracts.usage import Tokens

WIRE = Wire(native_id="command-a")


def user(*parts: Part) -> Message:
    return Message(role="user", parts=parts or (Text(text="hi"),))


def model(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


def encoded(*messages: Message, **said: Any) -> dict[str, Any]:
    return SPEECH.encode_request(Ask(messages=messages or (user(),), **said), WIRE)


def test_parameters_have_coheres_names():
    body = encoded(
        max_output=9,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        seed=1,
        stop=("a",),
        presence_penalty=0.1,
        frequency_penalty=0.2,
        format=Format(kind="schema", schema={"type": "object"}),
        reasoning=Reasoning(effort="low"),
        stream=True,
    )
    assert body == {
        "model": "command-a",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "stream": True,
        "max_tokens": 9,
        "temperature": 0.5,
        "p": 0.9,
        "k": 4,
        "seed": 1,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "stop_sequences": ["a"],
        "response_format": {"type": "json_object", "json_schema": {"type": "object"}},
        "thinking": {"type": "enabled", "token_budget": 1_024},
    }


@pytest.mark.parametrize(
    ("reasoning", "wanted"),
    [
        (Reasoning(effort="none"), {"type": "disabled"}),
        (Reasoning(budget=0), {"type": "disabled"}),
        (Reasoning(budget=500), {"type": "enabled", "token_budget": 500}),
        (Reasoning(adaptive=True), {"type": "enabled"}),
    ],
)
def test_thinking_is_switched(reasoning, wanted):
    assert encoded(reasoning=reasoning)["thinking"] == wanted


def test_one_tool_of_several_is_forced_by_offering_it_alone():
    tools = (Tool(name="f", schema={"type": "object"}, strict=True), Tool(name="g", description="d"))
    body = encoded(tools=tools, tool_choice=ToolChoice(mode="named", name="f"))
    assert body["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    assert (body["tool_choice"], body["strict_tools"]) == ("REQUIRED", True)
    assert encoded(tools=tools, tool_choice=ToolChoice(mode="none"))["tool_choice"] == "NONE"
    assert "tool_choice" not in encoded(tools=tools)
    with pytest.raises(Refused, match="another vendor"):
        encoded(tools=(Tool(name="x", opaque=Opaque(dialect="gemini", raw={})),))


def test_a_conversation_with_calls_keeps_its_plan_and_its_order():
    call = ToolCall(id="1", name="f", arguments='{"a":1}')
    result = ToolResult(id="1", content=(Text(text="done"),))
    image = Media(kind="image", media_type="image/png", data="aW1n")
    body = encoded(
        Message(role="system", parts=(Text(text="be brief"),)), model(Text(text="I will"), call), user(result, image)
    )
    assert body["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
        {
            "role": "assistant",
            "tool_plan": "I will",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "done"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aW1n"}}]},
    ]


def test_reasoning_goes_back_unless_another_vendor_signed_it():
    theirs = Thinking(text="b", signature=Signature("gemini", "eA=="))
    (message,) = encoded(model(Thinking(text="a"), theirs, Text(text="c")))["messages"]
    assert message["content"] == [{"type": "thinking", "thinking": "a"}, {"type": "text", "text": "c"}]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (user(Media(kind="audio", data="eA==")), "messages[0].content[0]"),
        (user(Text(text="a"), ToolResult(id="1", content=(Media(kind="image"),))), "messages[0].content[1]"),
        (model(Opaque(dialect="gemini", raw={})), "messages[0].content[0]"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_place(message, param):
    with pytest.raises(Refused) as refused:
        encoded(message)
    assert refused.value.param == param


def fed(*events: dict[str, Any] | bytes) -> list[Delta]:
    decoder = SPEECH.stream_decoder()
    raws = [event if isinstance(event, bytes) else msgspec.json.encode(event) for event in events]
    return [delta for raw in raws for delta in decoder.feed("", raw)]


def message(kind: str, index: int = 0, **said: Any) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": said}}


def test_a_stream_is_read_event_after_event():
    usage = {"billed_units": {"input_tokens": 1, "output_tokens": 2}, "tokens": {"input_tokens": 9}}
    source = {"type": "document", "document": {"title": "t", "url": "https://a.example", "text": "q"}}
    assert fed(
        {"type": "message-start", "id": "x", "delta": {"message": {"role": "assistant", "content": []}}},
        message("content-start", content={"type": "thinking", "thinking": ""}),
        message("content-delta", content={"thinking": "hm"}),
        message("content-end"),
        message("content-delta", 1, content={"text": "so"}),
        message("citation-start", citations={"start": 0, "end": 2, "text": "so", "sources": [source]}),
        message("tool-call-start", tool_calls={"id": "1", "function": {"name": "f", "arguments": ""}}),
        message("tool-call-delta", tool_calls={"function": {"arguments": "{}"}}),
        {"type": "something-new"},
        {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": usage}},
        b"[DONE]",
    ) == [
        Begin(id="x"),
        ThinkingDelta(0, "hm"),
        TextDelta(1, "so"),
        CitationDelta(1, Citation(url="https://a.example", title="t", quote="q", start=0, end=2)),
        CallDelta(2, "", "1", "f"),
        CallDelta(2, "{}"),
        Finished(Finish.TOOL_CALLS),
        Counted(Tokens(input=1, output=2, source="provider")),
        Ended(),
    ]


def test_a_failure_in_an_answer_or_a_stream_is_the_vendors():
    end = {"type": "message-end", "delta": {"finish_reason": "ERROR"}}
    assert fed(end) == [Failed({"message": "the vendor's model failed: ERROR"})]
    assert fed({"id": "1", "message": "too many requests"}) == [Failed({"message": "too many requests"})]
    with pytest.raises(VendorFailed):
        SPEECH.decode_answer({"message": {}, "finish_reason": "TIMEOUT"})


@pytest.mark.parametrize(
    "event",
    [
        message("tool-call-start", tool_calls={"id": "1"}),
        message("content-delta", content=3),
        message("content-delta", content={"text": 3}),
        {"type": 3},
    ],
)
def test_wrong_types_are_malformed(event):
    with pytest.raises((Malformed, msgspec.ValidationError)):
        fed(event)


def test_a_whole_call_must_have_a_name():
    with pytest.raises(Malformed):
        SPEECH.decode_answer({"message": {"tool_calls": [{"id": "1"}]}, "finish_reason": "TOOL_CALL"})
    with pytest.raises(msgspec.ValidationError):
        SPEECH.decode_answer({"id": "1"})


def test_vectors_are_asked_with_what_they_are_for():
    assert EMBED_SPEECH.encode_request(EmbedAsk(inputs=("a",), dimensions=256, truncate=False), WIRE) == {
        "model": "command-a",
        "texts": ["a"],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "output_dimension": 256,
        "truncate": "NONE",
    }
    assert EMBED_SPEECH.decode_answer({"embeddings": {"float": [[0.5]]}}).vectors == ([0.5],)
