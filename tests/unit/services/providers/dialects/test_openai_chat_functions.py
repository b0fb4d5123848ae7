"""Clients that know ``functions`` alone are understood, and answered in the same older form."""

from typing import Any

import msgspec
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from services.providers.domain.canonical import (
    Answer,
    CallDelta,
    Choice,
    Finish,
    Finished,
    Refused,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from services.providers.domain.dialect import Asked, Outgoing
from services.providers.domain.dialects.openai_chat.dialect import CLIENT
from services.providers.domain.registry import VENDORS
from services.providers.domain.sse import parse_event, split_events
from services.providers.domain.translate import translated
from shared.contracts.frames import Completion, Fail

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"name": "weather", "description": "The weather", "parameters": SCHEMA}
HI = {"role": "user", "content": "hi"}
BODY: dict[str, Any] = {"messages": [HI], "functions": [WEATHER], "function_call": {"name": "weather"}}
CALL = ToolCall(id="call_x", name="weather", arguments='{"city":"Oslo"}')


def asked(body: dict[str, Any]) -> Asked:
    return Asked(id="0" * 32, model="p/m", created=1, ask=CLIENT.decode_request(body), body=body)


def test_functions_are_tools_and_the_call_that_is_wanted_is_a_choice():
    ask = CLIENT.decode_request(BODY)
    assert ask.tools == (Tool(name="weather", description="The weather", schema=SCHEMA),)
    assert ask.tool_choice == ToolChoice(mode="named", name="weather")
    assert ask.extra == {}
    assert CLIENT.decode_request({**BODY, "function_call": "none"}).tool_choice == ToolChoice(mode="none")
    assert CLIENT.decode_request({"messages": [HI], "functions": [], "function_call": "auto"}).tools == ()


def test_calls_and_results_find_each_other_by_name():
    called = {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}}
    result = {"role": "function", "name": "weather", "content": "sunny"}
    messages = CLIENT.decode_request({**BODY, "messages": [HI, called, result, called, result]}).messages
    assert [message.role for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert messages[1].parts == (ToolCall(id="call_1", name="weather", arguments="{}"),)
    assert messages[2].parts == (ToolResult(id="call_1", name="weather", content=(Text(text="sunny"),)),)
    assert messages[4].parts == (ToolResult(id="call_3", name="weather", content=(Text(text="sunny"),)),)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({**BODY, "tools": [{"type": "function", "function": WEATHER}]}, "functions"),
        ({**BODY, "functions": "all"}, "functions"),
        ({**BODY, "functions": [WEATHER, {}]}, "functions[1].name"),
        ({**BODY, "functions": [{"name": "f", "parameters": 3}]}, "functions[0].parameters"),
        ({**BODY, "function_call": 3}, "function_call"),
        ({**BODY, "messages": [{"role": "function", "content": "x"}]}, "messages[0].name"),
        ({**BODY, "messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].name"),
        ({**BODY, "messages": [{"role": "assistant", "function_call": "f"}]}, "messages[0].function_call"),
    ],
)
def test_what_is_wrong_is_named_in_the_older_form(body, param):
    with pytest.raises(Refused) as refused:
        CLIENT.decode_request(body)
    assert refused.value.param == param


def test_a_vendor_without_tools_refuses_the_older_name():
    request = Completion(
        attempt_id="a", request_id="r", provider_id="p", native_id="sonar", model="p/m", dialect="openai_chat",
        body=BODY,
    )  # fmt: skip
    passed = translated(request, VENDORS["perplexity"], 0)
    assert isinstance(passed, Outgoing)
    assert passed.body["functions"] == [WEATHER], "the same dialect passes through"
    dropped = translated(msgspec.structs.replace(request, drop_params=True), VENDORS["perplexity"], 0)
    assert isinstance(dropped, Outgoing)
    assert set(dropped.dropped) == {"functions", "function_call"}
    assert dropped.body == {"model": "sonar", "messages": [HI]}
    forced = translated(msgspec.structs.replace(request, native_id="llama3"), VENDORS["ollama"], 0)
    assert isinstance(forced, Fail)
    assert forced.param == "function_call"


def test_an_answer_calls_in_the_older_form():
    answer = Answer(choices=(Choice(parts=(CALL,), finish=Finish.TOOL_CALLS),))
    found = ChatCompletion.model_validate_json(CLIENT.encode_answer(answer, asked(BODY))).choices[0]
    assert found.finish_reason == "function_call"
    assert found.message.tool_calls is None
    assert found.message.function_call is not None
    assert (found.message.function_call.name, found.message.function_call.arguments) == (CALL.name, CALL.arguments)


def test_a_second_call_is_not_lost():
    answer = Answer(choices=(Choice(parts=(CALL, CALL), finish=Finish.TOOL_CALLS),))
    message = msgspec.json.decode(CLIENT.encode_answer(answer, asked(BODY)))["choices"][0]["message"]
    assert message["function_call"]["name"] == "weather"
    assert [call["id"] for call in message["tool_calls"]] == ["call_x"]


def test_a_stream_calls_in_the_older_form():
    encoder = CLIENT.stream_encoder(asked(BODY))
    deltas = [
        CallDelta(0, "", "call_x", "weather"),
        CallDelta(0, '{"city"'),
        CallDelta(0, ':"Oslo"}'),
        Finished(Finish.TOOL_CALLS),
    ]
    events = [parse_event(event) for event in split_events(b"".join(encoder.encode(delta) for delta in deltas))]
    chunks = [ChatCompletionChunk.model_validate_json(event.data) for event in events if event is not None]
    calls = [found for chunk in chunks if (found := chunk.choices[0].delta.function_call) is not None]
    assert calls[0].name == "weather"
    assert "".join(call.arguments or "" for call in calls) == CALL.arguments
    assert chunks[-1].choices[0].finish_reason == "function_call"
    assert not any(chunk.choices[0].delta.tool_calls for chunk in chunks)
