"""OpenAI's chat and the deviations of those that speak it: read, written, asked of each as it wants it."""

import base64
from typing import Any

import msgspec
import pytest

from services.providers.domain.canonical import (
    Answer,
    Ask,
    Choice,
    Finish,
    Media,
    Message,
    Reasoning,
    RefusalText,
    Refused,
    Signature,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from services.providers.domain.dialect import Asked, Malformed, VendorFailed, Wire
from services.providers.domain.dialects.openai_chat.dialect import CLIENT, NATIVE, SPEECH
from services.providers.domain.gathering import gathered
from shared.contracts.frames import Completion
from shared.contracts.usage import Tokens

HI = {"role": "user", "content": "hi"}
ASK = Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))


def encoded(ask: Ask, *quirks: str) -> dict[str, Any]:
    return SPEECH.encode_request(ask, Wire(native_id="m", quirks=frozenset(quirks)))


def answered(message: dict[str, Any], finish: str | None = "stop", **rest: Any) -> Choice:
    return SPEECH.decode_answer({"choices": [{"message": message, "finish_reason": finish}], **rest}).choices[0]


def streamed(*deltas: dict[str, Any], finish: str = "stop") -> Choice:
    decoder = SPEECH.stream_decoder()
    found = []
    for delta in deltas:
        found += decoder.feed("", msgspec.json.encode({"id": "x", "choices": [{"index": 0, "delta": delta}]}))
    found += decoder.feed("", msgspec.json.encode({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    return gathered([*found, *decoder.feed("", b"[DONE]")]).choices[0]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "wizard"}]}, "messages[0].role"),
        ({"messages": [HI, {"role": "user", "content": [{"type": "hologram"}]}]}, "messages[1].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [HI], "temperature": "hot"}, "temperature"),
        ({"messages": [HI], "max_tokens": 1.5}, "max_tokens"),
        ({"messages": [HI], "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"messages": [HI], "tool_choice": "sometimes"}, "tool_choice"),
        ({"messages": [HI], "response_format": {"type": "poem"}}, "response_format"),
        ({"messages": [HI], "reasoning_effort": "heroic"}, "reasoning_effort"),
        ({"messages": [HI], "stop": [1]}, "stop"),
    ],
)
def test_a_request_of_the_wrong_shape_is_refused_where_it_is_wrong(body, param):
    with pytest.raises(Refused) as refused:
        CLIENT.decode_request(body)
    assert refused.value.param == param


def test_what_only_this_dialect_knows_is_kept_apart_and_what_asks_for_nothing_is_not():
    ask = CLIENT.decode_request({"messages": [HI], "functions": [], "function_call": "auto", "wild": 1, "seed": None})
    assert ask.extra == {"wild": 1}


def test_results_of_parallel_calls_come_together_with_the_names_of_their_calls():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [HI, {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "1"},
                {"role": "tool", "tool_call_id": "c2", "content": "2"}]  # fmt: skip
    results = CLIENT.decode_request({"messages": messages}).messages[2].parts
    assert results == (
        ToolResult(id="c1", content=(Text(text="1"),), name="f"),
        ToolResult(id="c2", content=(Text(text="2"),)),
    )


def test_images_in_results_follow_them_in_a_message_of_the_users():
    image = Media(kind="image", media_type="image/png", data="AAAA")
    result = ToolResult(id="c", content=(image,))
    first, second = encoded(Ask(messages=(Message(role="user", parts=(result,)),)))["messages"]
    assert (first["role"], first["content"]) == ("tool", "(shown below)")
    assert second["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def test_a_document_by_address_is_refused_where_vendors_want_data():
    part = Media(kind="document", url="https://a.example/x.pdf")
    ask = Ask(messages=(Message(role="user", parts=(part,)),))
    with pytest.raises(Refused) as refused:
        encoded(ask)
    assert refused.value.param == "messages[0].content[0]"
    assert encoded(ask, "document_url")["messages"][0]["content"] == [
        {"type": "document_url", "document_url": "https://a.example/x.pdf"}
    ]


@pytest.mark.parametrize(
    ("quirk", "ask", "fields"),
    [
        ("", {"max_output": 5}, {"max_tokens": 5}),
        ("max_completion_tokens", {"max_output": 5}, {"max_completion_tokens": 5}),
        ("random_seed", {"seed": 5}, {"random_seed": 5}),
        ("", {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ("no stream_options", {"stream": True}, {"stream": True}),
        ("", {"reasoning": Reasoning(budget=1_000)}, {"reasoning_effort": "low"}),
        ("reasoning object", {"reasoning": Reasoning(budget=1_000)}, {"reasoning": {"max_tokens": 1_000}}),
        ("reasoning object", {"reasoning": Reasoning(adaptive=True)}, {"reasoning": {"enabled": True}}),
        ("thinking switch", {"reasoning": Reasoning(effort="none")}, {"thinking": {"type": "disabled"}}),
        (
            "thinking switch",
            {"reasoning": Reasoning(effort="high")},
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
        ),
    ],
)
def test_each_vendor_is_asked_in_its_own_way(quirk, ask, fields):
    body = encoded(msgspec.structs.replace(ASK, **ask), quirk)
    assert body == {"model": "m", "messages": [HI], **fields}


def test_call_ids_become_nine_letters_for_mistral_the_same_in_call_and_result():
    call = ToolCall(id="toolu_01", name="f", arguments="{}")
    messages = (Message(role="assistant", parts=(call,)), Message(role="user", parts=(ToolResult(id="toolu_01"),)))
    first, second = encoded(Ask(messages=messages), "nine letter call ids")["messages"]
    assert first["tool_calls"][0]["id"] == second["tool_call_id"]
    assert len(second["tool_call_id"]) == 9


def test_thoughts_go_back_as_words_or_with_their_own_proof_or_not_at_all():
    thought = Thinking(text="hm", signature=Signature("openai_chat:anthropic-claude-v1", "sig"))
    foreign = Thinking(text="ah", signature=Signature("anthropic_messages", "sig"))
    ask = Ask(messages=(Message(role="assistant", parts=(thought, foreign, Text(text="x"))),))
    assert encoded(ask)["messages"] == [{"role": "assistant", "content": "x"}]
    assert encoded(ask, "reasoning_content")["messages"][0]["reasoning_content"] == "hmah"
    assert encoded(ask, "reasoning_details")["messages"][0]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-claude-v1", "index": 0}
    ]


def test_pieces_of_thoughts_that_a_client_gathered_are_joined():
    pieces = [
        {"type": "reasoning.text", "text": "a", "index": 0},
        {"type": "reasoning.text", "text": "b", "index": 0},
        {"type": "reasoning.text", "text": "", "signature": "lr1.anthropic_messages.sig", "index": 0},
    ]
    message = {"role": "assistant", "content": "x", "reasoning_details": pieces, "reasoning_content": "ab"}
    parts = CLIENT.decode_request({"messages": [HI, message]}).messages[1].parts
    assert parts[0] == Thinking(text="ab", signature=Signature("anthropic_messages", "sig"))


def test_proofs_of_other_vendors_never_pass_through():
    details = [{"type": "reasoning.text", "text": "a", "signature": "lr1.anthropic_messages.x"}]
    own = {"role": "assistant", "content": "x", "reasoning_details": [{"type": "reasoning.text", "text": "b"}]}
    call = {"id": "c", "extra_content": {"google": {"thought_signature": "lr1.gemini.x"}}}
    messages = [HI, {"role": "assistant", "reasoning_details": details, "tool_calls": [call]}, own]
    request = Completion(
        attempt_id="a", request_id="r", provider_id="p", native_id="m", model="p/m", dialect="openai_chat",
        body={"messages": messages},
    )  # fmt: skip
    body = NATIVE.request_body(request, frozenset())
    assert body["messages"] == [HI, {"role": "assistant", "tool_calls": [{"id": "c"}]}, own]


@pytest.mark.parametrize(
    ("message", "finish", "expected"),
    [
        ({"content": "x"}, "eos", Finish.STOP),
        ({"content": "x"}, "", Finish.STOP),
        ({"content": "x"}, "model_length", Finish.LENGTH),
        ({"content": None, "refusal": "no"}, "stop", Finish.REFUSAL),
        ({"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": ""}}]}, "stop", Finish.TOOL_CALLS),
        ({"content": ""}, "content_filter", Finish.CONTENT_FILTER),
    ],
)
def test_vendors_words_for_the_end_are_read(message, finish, expected):
    assert answered(message, finish).finish is expected


def test_mistrals_list_of_parts_is_thoughts_and_words():
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "x"}]
    assert answered({"content": content}).parts == (Thinking(text="hm"), Text(text="x"))
    assert streamed({"content": content[:1]}, {"content": "x"}).parts == (Thinking(text="hm"), Text(text="x"))


def test_arguments_that_are_an_object_become_text():
    call = {"id": "1", "function": {"name": "f", "arguments": {"a": 1}}}
    assert answered({"tool_calls": [call]}).parts == (ToolCall(id="1", name="f", arguments='{"a":1}'),)


def test_perplexitys_sources_belong_to_its_text():
    found = answered({"content": "x"}, search_results=[{"url": "https://a.example", "title": "A"}], citations=["u"])
    (text,) = found.parts
    assert isinstance(text, Text)
    assert [(source.url, source.title) for source in text.citations] == [("https://a.example", "A")]


def test_calls_that_a_vendor_numbers_all_alike_are_told_apart_by_their_ids():
    pieces = [{"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    found = streamed({"tool_calls": pieces[:1]}, {"tool_calls": pieces[1:]}, finish="tool_calls")
    assert [part.name for part in found.parts if isinstance(part, ToolCall)] == ["a", "b"]


def test_a_call_without_arguments_has_empty_ones():
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}
    assert streamed({"tool_calls": [call]}).parts == (ToolCall(id="a", name="f", arguments="{}"),)


def test_azures_first_chunk_without_choices_is_no_beginning():
    decoder = SPEECH.stream_decoder()
    assert decoder.feed("", b'{"id":"","model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}') == []


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": None}])
def test_an_answer_without_choices_is_malformed(body):
    with pytest.raises(Malformed):
        SPEECH.decode_answer(body)


def test_an_error_with_status_200_is_a_failure():
    with pytest.raises(VendorFailed):
        SPEECH.decode_answer({"error": {"message": "no"}})


def test_an_answer_says_everything_that_this_dialect_can_say():
    data = base64.b64encode(b"x").decode()
    parts = (
        Thinking(text="hm"),
        Text(text="x"),
        RefusalText(text="no"),
        Media(kind="audio", data=data, transcript="x", file_id="audio_1"),
        Media(kind="image", media_type="image/png", data=data),
        ToolCall(id="1", name="f", arguments="{}", signature=Signature("gemini", "s")),
    )
    answer = Answer(choices=(Choice(parts=parts, finish=Finish.TOOL_CALLS),), tokens=Tokens(input=1, output=2))
    message = msgspec.json.decode(CLIENT.encode_answer(answer, Asked(id="i", model="p/m", created=1, ask=ASK)))
    assert answered(message["choices"][0]["message"], "tool_calls").parts == parts
