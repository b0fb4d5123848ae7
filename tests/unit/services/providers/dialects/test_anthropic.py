"""Anthropic's messages: what clients may ask, what vendors are asked, and how answers are told."""

import msgspec
import pytest
from anthropic.types import Message as SdkMessage

from services.providers.domain.canonical import (
    Answer,
    Ask,
    Begin,
    Cache,
    CallDelta,
    Choice,
    Counted,
    Failed,
    Finish,
    Finished,
    Format,
    Media,
    Message,
    Opaque,
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
from services.providers.domain.catalog import read_list
from services.providers.domain.dialect import Answered, Asked, Outgoing, Wire
from services.providers.domain.dialects.anthropic_messages.dialect import CLIENT, NATIVE, SPEECH
from services.providers.domain.dialects.anthropic_messages.generations import generation, lacks
from services.providers.domain.registry import VENDORS
from services.providers.domain.translate import translated
from shared.contracts.catalog import Capability
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Tail
from shared.contracts.usage import NO_TOKENS, Tokens

HI = {"role": "user", "content": "hi"}
OLD, BOTH, NEW = "claude-sonnet-4-5", "claude-opus-4-6", "claude-opus-4-8"


def user(*parts) -> Message:
    return Message(role="user", parts=parts)


def assistant(*parts) -> Message:
    return Message(role="assistant", parts=parts)


ASK = Ask(messages=(user(Text(text="hi")),))
ASKED = Asked(id="0" * 32, model="p/m", created=1, ask=ASK)


def asked(*messages: Message, model: str = OLD, most: int | None = None, **said) -> dict:
    return SPEECH.encode_request(Ask(messages=messages or ASK.messages, **said), Wire(model, max_output=most))


def completion(body: dict, *, dialect: str = "anthropic_messages", model: str = OLD, **more) -> Completion:
    return Completion(
        attempt_id="a-1", request_id="r", provider_id="p", native_id=model, model="p/m", dialect=dialect, body=body,
        **more,
    )  # fmt: skip


def sent(*deltas, tokens: Tokens = NO_TOKENS) -> list[dict]:
    encoder = CLIENT.stream_encoder(ASKED)
    raw = b"".join(encoder.encode(delta) for delta in deltas) + b"".join(encoder.end(tokens))
    lines = [line for line in raw.split(b"\n") if line.startswith(b"data: ")]
    found = [msgspec.json.decode(line[6:]) for line in lines]
    names = [line[7:].decode() for line in raw.split(b"\n") if line.startswith(b"event: ")]
    assert names == [one["type"] for one in found]
    return found


def read(*events: dict) -> list:
    decoder = SPEECH.stream_decoder()
    return [delta for event in events for delta in decoder.feed(event["type"], msgspec.json.encode(event))]


@pytest.mark.parametrize(
    ("name", "born"),
    [
        ("claude-3-5-haiku-latest", (3, 5)),
        ("claude-3-opus-20240229", (3, 0)),
        ("claude-2.1", (2, 1)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("claude-opus-4-1-20250805", (4, 1)),
        ("claude-haiku-4-5-20251001", (4, 5)),
        ("claude-sonnet-5", (5, 0)),
        ("claude-mythos-preview", (5, 0)),
        ("kimi-k2", (4, 5)),
    ],
)
def test_a_models_name_tells_its_generation(name, born):
    assert generation(name) == born


def test_what_a_generation_lacks_is_refused_by_name_or_dropped():
    body = {"messages": [HI], "temperature": 0.2}
    refused = translated(completion(body, dialect="openai_chat", model=NEW), VENDORS["anthropic"], 1)
    assert isinstance(refused, Fail)
    assert refused.param == "temperature"
    dropped = translated(completion(body, dialect="openai_chat", model=NEW, drop_params=True), VENDORS["anthropic"], 1)
    assert isinstance(dropped, Outgoing)
    assert dropped.dropped == ("temperature",)
    assert {parameter.value for parameter in lacks("claude-3-5-haiku-latest")} == {"reasoning", "format_schema"}


def test_instructions_come_first_wherever_they_stood():
    told = asked(
        Message(role="system", parts=(Text(text="be kind"),)),
        user(Text(text="hi")),
        Message(role="system", parts=(Text(text="be brief", cache=Cache(ttl="1h")),)),
    )
    assert told["system"] == [
        {"type": "text", "text": "be kind"},
        {"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]
    assert [turn["role"] for turn in told["messages"]] == ["user"]


def test_results_of_calls_at_once_are_one_turn_and_stand_first_in_it():
    call_a, call_b = ToolCall(id="a.1", name="f", arguments="{}"), ToolCall(id="b", name="g", arguments="")
    told = asked(
        user(Text(text="hi")),
        assistant(call_a, call_b),
        user(Text(text="so?")),
        user(ToolResult(id="a.1", content=(Text(text="1"),))),
        user(ToolResult(id="b", error=True)),
    )
    last = told["messages"][-1]["content"]
    assert [block["type"] for block in last] == ["tool_result", "tool_result", "text"]
    calls = told["messages"][1]["content"]
    assert [call["id"] for call in calls] == [block["tool_use_id"] for block in last[:2]]
    assert all(set(call["id"]) <= set("abcdef0123456789_") for call in calls)
    assert calls[1] == {"type": "tool_use", "id": "b", "name": "g", "input": {}}
    assert last[1] == {"type": "tool_result", "tool_use_id": "b", "is_error": True}


def test_arguments_that_are_no_object_are_wrapped_so_that_the_conversation_goes_on():
    told = asked(user(Text(text="hi")), assistant(ToolCall(id="a", name="f", arguments='{"x":')), user(Text(text="?")))
    assert told["messages"][1]["content"][0]["input"] == {"INVALID_JSON": '{"x":'}


def test_empty_texts_are_left_out_and_a_prefill_ends_without_blanks():
    told = asked(user(Text(text=""), Text(text="hi")), user(Text(text=" ")), assistant(Text(text="So: \n")))
    assert told["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "So:"}]},
    ]
    with pytest.raises(Refused, match="no content"):
        asked(user(Text(text="")))


def test_a_model_of_4_6_does_not_continue_the_assistants_words():
    body = {"messages": [HI, {"role": "assistant", "content": "So"}]}
    assert isinstance(translated(completion(body, dialect="openai_chat"), VENDORS["anthropic"], 1), Outgoing)
    refused = translated(completion(body, dialect="openai_chat", model=BOTH), VENDORS["anthropic"], 1)
    assert isinstance(refused, Fail)
    assert refused.kind is FailureKind.UNSUPPORTED


def test_only_anthropics_own_thoughts_go_back_to_it():
    own, foreign = Signature("anthropic_messages", "Eq+/="), Signature("gemini", "x")
    thoughts = (Thinking(text="a", signature=own), Thinking(text="b", signature=foreign), Thinking(text="c"))
    redacted = Thinking(redacted=True, signature=own)
    told = asked(user(Text(text="hi")), assistant(*thoughts, redacted, Text(text="so")), user(Text(text="?")))
    assert told["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "a", "signature": "Eq+/="},
        {"type": "redacted_thinking", "data": "Eq+/="},
        {"type": "text", "text": "so"},
    ]


@pytest.mark.parametrize(
    ("media", "source"),
    [
        (
            Media(kind="image", media_type="image/png", data="AAAA"),
            {"type": "base64", "media_type": "image/png", "data": "AAAA"},
        ),
        (Media(kind="image", url="https://a.example/i"), {"type": "url", "url": "https://a.example/i"}),
        (
            Media(kind="document", data="AAAA"),
            {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
        ),
        (Media(kind="document", text="words"), {"type": "text", "media_type": "text/plain", "data": "words"}),
        (
            Media(kind="document", media_type="text/csv", data="YSxi"),
            {"type": "text", "media_type": "text/plain", "data": "a,b"},
        ),
    ],
)
def test_images_and_documents_are_given_by_data_address_or_words(media, source):
    assert asked(user(media))["messages"][0]["content"][0]["source"] == source


@pytest.mark.parametrize(
    "part",
    [
        Media(kind="audio", data="AAAA"),
        Media(kind="image", media_type="image/tiff", data="AAAA"),
        Media(kind="document", media_type="application/zip", data="AAAA"),
        Media(kind="document", media_type="text/plain", data="_w=="),
        Media(kind="image", file_id="file-1"),
        Opaque(dialect="openai_responses", raw={"type": "computer_call"}),
    ],
)
def test_what_anthropic_cannot_be_told_is_refused_by_its_place(part):
    with pytest.raises(Refused) as refused:
        asked(user(Text(text="hi"), part))
    assert refused.value.param == "messages[0].content[1]"


def test_tools_their_choice_and_strict_schemas_are_told():
    tools = (
        Tool(name="f", schema={"properties": {"a": {"type": "object"}}}, strict=True, cache=Cache()),
        Tool(name="g"),
    )
    told = asked(tools=tools, tool_choice=ToolChoice(mode="required"), parallel_tool_calls=False)
    assert told["tools"] == [
        {
            "name": "f",
            "input_schema": {
                "type": "object",
                "properties": {"a": {"type": "object", "additionalProperties": False}},
                "additionalProperties": False,
            },
            "strict": True,
            "cache_control": {"type": "ephemeral"},
        },
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert told["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert asked(tools=tools, tool_choice=ToolChoice(mode="named", name="g"))["tool_choice"] == {
        "type": "tool",
        "name": "g",
    }
    some = asked(tools=tools, tool_choice=ToolChoice(mode="auto", among=("g",)))
    assert [tool["name"] for tool in some["tools"]] == ["g"]
    with pytest.raises(Refused, match="openai_responses"):
        asked(tools=(Tool(name="x", opaque=Opaque(dialect="openai_responses", raw={})),))


def budget(tokens: int, most: int) -> dict:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}, "max_tokens": most}


def adaptive(effort: str, **display: str) -> dict:
    return {"thinking": {"type": "adaptive", **display}, "output_config": {"effort": effort}, "max_tokens": 9}


@pytest.mark.parametrize(
    ("model", "reasoning", "most", "expected"),
    [
        (OLD, Reasoning(effort="low"), None, budget(1024, 5120)),
        (OLD, Reasoning(effort="high"), 4096, budget(2048, 4096)),
        (OLD, Reasoning(effort="high"), 1000, {"max_tokens": 1000}),
        (OLD, Reasoning(effort="none"), None, {"max_tokens": 4096}),
        (BOTH, Reasoning(budget=2000), 9000, budget(2000, 9000)),
        (BOTH, Reasoning(effort="xhigh"), 9, adaptive("high")),
        (NEW, Reasoning(effort="xhigh", shown=True), 9, adaptive("xhigh", display="summarized")),
        (NEW, Reasoning(budget=9000), 9, adaptive("medium")),
        (NEW, Reasoning(effort="minimal"), 9, adaptive("low")),
        ("claude-opus-5", Reasoning(effort="none"), 9, {"thinking": {"type": "disabled"}, "max_tokens": 9}),
    ],
)
def test_how_much_is_thought_is_told_as_the_generation_takes_it(model, reasoning, most, expected):
    told = asked(model=model, reasoning=reasoning, max_output=most)
    assert {name: told[name] for name in ("thinking", "output_config", "max_tokens") if name in told} == expected


def test_a_budget_without_room_for_an_answer_is_refused():
    with pytest.raises(Refused) as refused:
        asked(reasoning=Reasoning(budget=5000), max_output=5000)
    assert refused.value.param == "max_tokens"


def test_a_budget_is_left_out_in_a_loop_of_tools_whose_thoughts_were_not_kept():
    loop = (
        user(Text(text="hi")),
        assistant(ToolCall(id="a", name="f", arguments="{}")),
        user(ToolResult(id="a", content=(Text(text="1"),))),
    )
    assert "thinking" not in asked(*loop, reasoning=Reasoning(effort="low"))
    assert "thinking" in asked(*loop, model=BOTH, reasoning=Reasoning(effort="low"))


def test_the_other_parameters_have_their_own_names():
    told = asked(
        most=8_192, temperature=0.5, top_k=3, stop=("a",), user="u", service_tier="default", stream=True,
        format=Format(kind="schema", name="x", schema={"type": "object", "properties": {}}),
    )  # fmt: skip
    assert told["max_tokens"] == 8_192
    assert (told["temperature"], told["top_k"], told["stop_sequences"], told["stream"]) == (0.5, 3, ["a"], True)
    assert told["metadata"] == {"user_id": "u"}
    assert told["service_tier"] == "standard_only"
    assert told["output_config"]["format"]["schema"]["additionalProperties"] is False


def test_a_clients_request_is_read_with_all_that_it_says():
    body = {
        "model": "p/m",
        "max_tokens": 50,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://a.example/i"}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "a", "content": "1", "is_error": True}],
            },
        ],
        "tools": [
            {"name": "f", "input_schema": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "metadata": {"user_id": "u"},
        "service_tier": "standard_only",
        "cache_control": {"type": "ephemeral"},
        "container": "c",
        "top_k": 4,
    }  # fmt: skip
    ask = CLIENT.decode_request(body)
    assert ask.messages[0].parts == (Text(text="s", cache=Cache(ttl="1h")),)
    assert ask.messages[2].parts == (ToolCall(id="a", name="f", arguments='{"x":1}'),)
    result = ToolResult(id="a", name="f", content=(Text(text="1"),), error=True, cache=Cache())
    assert ask.messages[3].parts == (result,)
    assert ask.tools[1].opaque is not None
    assert (ask.tool_choice, ask.parallel_tool_calls) == (ToolChoice(mode="required"), False)
    assert ask.reasoning == Reasoning(budget=2000, effort="low")
    assert ask.format == Format(kind="schema", schema={"type": "object"})
    assert (ask.user, ask.service_tier, ask.top_k, ask.max_output) == ("u", "default", 4, 50)
    assert ask.extra == {"container": "c"}


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [7]}]}, "messages[0].content[0]"),
        ({"messages": [HI], "system": [{"type": "image", "source": {"type": "url", "url": "u"}}]}, "system[0]"),
        ({"messages": [HI], "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"messages": [HI], "tools": [{"name": "f", "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"messages": [HI], "thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"messages": [HI], "output_config": {"effort": "vast"}}, "output_config.effort"),
        ({"messages": [HI], "output_format": {"type": "json_object"}}, "output_format.type"),
        ({"messages": [HI], "temperature": "hot"}, "temperature"),
    ],
)
def test_a_wrong_shape_is_refused_by_its_place(said, param):
    with pytest.raises(Refused) as refused:
        CLIENT.decode_request(said)
    assert refused.value.param == param


def test_a_document_that_shall_be_cited_is_refused_where_nobody_would():
    document = {"type": "document", "source": {"type": "text", "data": "words"}, "citations": {"enabled": True}}
    with pytest.raises(Refused) as refused:
        CLIENT.decode_request({"messages": [{"role": "user", "content": [document]}]})
    assert refused.value.param == "messages[0].content[0].citations"


def test_a_whole_answer_is_what_the_sdk_takes_for_a_message():
    tokens = Tokens(input=3, cached=4, cache_write=5, cache_write_1h=2, output=6, reasoning=1, source="provider")
    parts = (
        Thinking(text="hm", signature=Signature("gemini", "abc")),
        Text(text="hi"),
        ToolCall(id="call:1", name="f", arguments='{"a":1}', signature=Signature("gemini", "def")),
    )
    answer = Answer(choices=(Choice(parts=parts, finish=Finish.TOOL_CALLS),), tokens=tokens)
    raw = CLIENT.encode_answer(answer, ASKED)
    message = SdkMessage.model_validate_json(raw, strict=True)
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "redacted_thinking"]
    assert (message.id, message.model, message.stop_reason) == (f"msg_{'0' * 32}", "p/m", "tool_use")
    assert SPEECH.decode_answer(msgspec.json.decode(raw)).tokens == tokens
    content = msgspec.json.decode(raw)["content"]
    kept = CLIENT.decode_request({"messages": [HI, {"role": "assistant", "content": content}]}).messages[1].parts
    assert [part.signature for part in (kept[0], kept[2])] == [Signature("gemini", "abc"), Signature("gemini", "def")]


def test_a_foreign_proof_that_follows_thoughts_alone_is_kept_by_an_empty_text():
    events = sent(ThinkingDelta(0, "hm"), TextDelta(1, "", signature=Signature("gemini", "abc")), Finished(Finish.STOP))
    content = [one["content_block"] for one in events if one["type"] == "content_block_start"]
    kept = CLIENT.decode_request({"messages": [HI, {"role": "assistant", "content": content}]}).messages[1].parts
    assert kept == (Thinking(), Text(text="", signature=Signature("gemini", "abc")))


def test_a_stream_has_every_event_in_its_order():
    events = sent(
        Begin(model="x"),
        ThinkingDelta(0, "hm"),
        ThinkingDelta(0, signature=Signature("anthropic_messages", "s")),
        TextDelta(1, "he"),
        TextDelta(1, "llo"),
        CallDelta(2, "", "c1", "f"),
        CallDelta(2, "{}"),
        Counted(Tokens(input=1, output=2, source="provider")),
        Finished(Finish.TOOL_CALLS),
        tokens=Tokens(input=1, output=2, source="provider"),
    )
    told = [(one["type"], one.get("index"), (one.get("delta") or {}).get("type")) for one in events]
    assert told == [
        ("message_start", None, None),
        ("content_block_start", 0, None),
        ("content_block_delta", 0, "thinking_delta"),
        ("content_block_delta", 0, "signature_delta"),
        ("content_block_stop", 0, None),
        ("content_block_start", 1, None),
        ("content_block_delta", 1, "text_delta"),
        ("content_block_delta", 1, "text_delta"),
        ("content_block_stop", 1, None),
        ("content_block_start", 2, None),
        ("content_block_delta", 2, "input_json_delta"),
        ("content_block_stop", 2, None),
        ("message_delta", None, None),
        ("message_stop", None, None),
    ]
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] == 2


def test_an_empty_stream_is_still_a_message():
    assert [one["type"] for one in sent(Finished(Finish.LENGTH))] == ["message_start", "message_delta", "message_stop"]


def test_a_call_without_arguments_has_an_empty_object():
    found = read(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "a", "name": "f"}},
        {"type": "ping"},
        {"type": "content_block_stop", "index": 0},
    )
    assert found == [CallDelta(0, id="a", name="f"), CallDelta(0, "{}")]


def test_usage_said_at_the_end_replaces_what_was_said_at_the_start():
    usage = {"input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 1}
    found = read(
        {"type": "message_start", "message": {"usage": usage}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    )  # fmt: skip
    assert found[1] == Counted(Tokens(input=9, cached=4, source="partial"))
    assert found[2] == Counted(Tokens(input=9, cached=4, output=7, source="provider"))


def test_an_error_in_a_stream_fails_with_the_vendors_words():
    error = {"type": "overloaded_error", "message": "Overloaded"}
    assert read({"type": "error", "error": error}) == [Failed(error)]
    reader = NATIVE.reader(completion({}, stream=True))
    frames = reader.feed(b"event: error\ndata: " + msgspec.json.encode({"type": "error", "error": error}) + b"\n\n")
    assert isinstance(frames[-1], Fail)
    assert frames[-1].kind is FailureKind.OVERLOADED


def test_a_request_passes_through_with_the_vendors_model_and_the_clients_beta_header():
    body = {"model": "p/m", "models": ["q"], "messages": [HI], "max_tokens": 5, "new_field": {"x": [1]}}
    headers = {"anthropic-beta": "context-1m-2025-08-07", "x-other": "1"}
    out = translated(completion(body, headers=headers), VENDORS["anthropic"], 1)
    assert isinstance(out, Outgoing)
    assert out.body == {"model": OLD, "messages": [HI], "max_tokens": 5, "new_field": {"x": [1]}}
    assert out.headers == {"anthropic-beta": "context-1m-2025-08-07"}


def test_a_stream_that_passes_through_counts_content_life_and_the_end():
    def event(**said) -> bytes:
        return b"event: " + said["type"].encode() + b"\ndata: " + msgspec.json.encode(said) + b"\n\n"

    reader = NATIVE.reader(completion({"messages": [HI]}, stream=True))
    start = event(type="message_start", message={"model": "m", "usage": {"input_tokens": 4, "output_tokens": 1}})
    assert reader.feed(start) == [Data(start)]
    assert not reader.alive
    thought = event(type="content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"})
    assert reader.feed(thought) == [Data(thought)]
    assert reader.alive
    text = event(type="content_block_delta", index=1, delta={"type": "text_delta", "text": "hi"})
    assert reader.feed(text) == [Data(text, content=True)]
    assert reader.tokens() == Tokens(input=4, output=1, source="estimated")
    ending = event(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9})
    stop = event(type="message_stop")
    *_, tail = reader.feed(ending + stop)
    assert tail == Tail(
        tokens=Tokens(input=4, output=9, source="provider"), answered="m", finish_reason="end_turn", closing=stop
    )


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", FailureKind.MALFORMED),
        (b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n', FailureKind.CUT),
        (b"data: {nonsense\n\n", FailureKind.MALFORMED),
        (b'data: {"type":"message_start"}\n\ndata: {"type":"message_stop"}\n\n', FailureKind.MALFORMED),
    ],
)
def test_a_stream_that_is_broken_fails_by_what_it_is(raw, kind):
    reader = NATIVE.reader(completion({"messages": [HI]}, stream=True))
    frames = reader.feed(raw) if raw else []
    if not frames or isinstance(frames[-1], Data):
        frames = reader.finish()
    assert isinstance(frames[-1], Fail)
    assert frames[-1].kind is kind


def test_a_count_for_a_foreign_vendor_is_an_estimate_that_says_so_and_asks_nobody():
    body = {"messages": [{"role": "user", "content": "a" * 400}], "system": "b" * 40}
    out = translated(completion(body, dialect="anthropic_count_tokens", model="gpt-5"), VENDORS["openai"], 1)
    assert isinstance(out, Answered)
    _, data, tail = out.frames
    assert isinstance(data, Data)
    assert msgspec.json.decode(data.payload) == {"input_tokens": 118, "estimated": True}
    assert tail == Tail()


def test_a_count_is_asked_of_vendors_that_count():
    body = {"messages": [HI], "max_tokens": 5}
    own = translated(completion(body, dialect="anthropic_count_tokens"), VENDORS["anthropic"], 1)
    assert isinstance(own, Outgoing)
    assert own.body == {"model": OLD, "messages": [HI]}
    gemini = translated(completion(body, dialect="anthropic_count_tokens", model="gemini-x"), VENDORS["gemini"], 1)
    assert isinstance(gemini, Outgoing)
    assert gemini.path == "/models/gemini-x:countTokens"
    frames = gemini.whole(b'{"totalTokens": 7}')
    assert frames == [Data(b'{"input_tokens":7}', content=True), Tail()]
    assert isinstance(gemini.whole(b"[]")[0], Fail)
    assert isinstance(gemini.whole(b"{}")[0], Fail)


def test_anthropics_list_of_models_tells_limits_and_what_they_can():
    row = {
        "type": "model",
        "id": "claude-x",
        "max_input_tokens": 1_000_000,
        "max_tokens": 64_000,
        "capabilities": {"structured_outputs": {"supported": True}, "image_input": {"supported": False}},
    }
    (model,) = read_list({"data": [row], "has_more": False})
    assert (model.context_window, model.max_output) == (1_000_000, 64_000)
    assert model.capabilities == (Capability.CHAT, Capability.TOOLS, Capability.JSON_SCHEMA)
