"""Ollama: what it is sent, what is refused, what comes back; and what its own clients ask and get."""

from typing import Any

import msgspec
import pytest

from services.providers.domain.dialect import Outgoing
from services.providers.domain.registry import VENDORS
from services.providers.domain.translate import translated
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Tail

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}


def request(*, stream: bool = False, drop: bool = False, include_usage: bool = False, **body: Any) -> Completion:
    return Completion(
        attempt_id="01900000-0000-7000-8000-00000000000b",
        request_id="r",
        provider_id="p",
        native_id="llama3.2",
        model="ollama/llama3.2",
        dialect="openai_chat",
        body={"model": "auto", "messages": [{"role": "user", "content": "hi"}], **body},
        stream=stream,
        drop_params=drop,
        include_usage=include_usage,
    )


def out(asked: Completion) -> Outgoing:
    found = translated(asked, VENDORS["ollama"], 1_700_000_000)
    assert isinstance(found, Outgoing), found
    return found


def body(**fields: Any) -> dict[str, Any]:
    return out(request(**fields)).body


def refused(**fields: Any) -> str | None:
    found = translated(request(**fields), VENDORS["ollama"], 0)
    assert isinstance(found, Fail)
    assert found.kind is FailureKind.UNSUPPORTED
    assert found.http_status == 400
    return found.param


def test_a_plain_chat_is_sent_as_it_is():
    assert body() == {"model": "llama3.2", "messages": [{"role": "user", "content": "hi"}], "stream": False}


def test_sampling_parameters_become_options():
    found = body(temperature=0.2, top_p=0.9, seed=7, stop="END", max_tokens=50, frequency_penalty=0.1)
    assert found["options"] == {
        "temperature": 0.2, "top_p": 0.9, "seed": 7, "stop": ["END"], "num_predict": 50, "frequency_penalty": 0.1,
    }  # fmt: skip


def test_the_context_grows_with_the_request_in_powers_of_two():
    assert "options" not in body()
    assert body(messages=[{"role": "user", "content": "a" * 40_000}])["options"]["num_ctx"] == 16_384
    assert body(max_tokens=6_000)["options"]["num_ctx"] == 8_192


def test_formats_are_translated():
    assert body(response_format={"type": "json_object"})["format"] == "json"
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    assert body(response_format=asked)["format"] == SCHEMA
    assert "format" not in body(response_format={"type": "text"})
    assert refused(response_format={"type": "grammar"}) == "response_format"
    assert refused(response_format={"type": "json_schema"}) == "response_format.json_schema"


def test_tools_and_their_results_are_translated():
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]
    found = body(messages=messages, tools=[TOOL])
    assert found["tools"] == [TOOL]
    system, user, assistant, tool = found["messages"]
    assert system == {"role": "system", "content": "be brief"}
    assert user["content"] == "a\nb"
    assert assistant["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Bonn"}}
    assert (tool["tool_name"], tool["content"]) == ("weather", "rain")
    assert "tools" not in body(tools=[TOOL], tool_choice="none")
    assert refused(tools=[TOOL], tool_choice="required") == "tool_choice"


def test_images_travel_as_base64_and_are_never_fetched():
    def message(url: str) -> list[dict[str, Any]]:
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]

    assert body(messages=message("data:image/png;base64,QUJD"))["messages"][0]["images"] == ["QUJD"]
    assert refused(messages=message("http://169.254.169.254/x.png")) == "messages[0].content[0]"
    sound = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}
    assert refused(messages=[{"role": "user", "content": [sound]}]) == "messages[0].content[0]"


@pytest.mark.parametrize(
    ("name", "value"),
    [("logit_bias", {"1": 2}), ("n", 2), ("prediction", {"type": "content"}), ("whatever", 1)],
)
def test_what_it_does_not_know_is_refused_or_dropped_by_name(name, value):
    assert refused(**{name: value}) == name
    found = out(request(drop=True, **{name: value}))
    assert found.dropped == (name,)
    assert name not in found.body


def test_what_asks_for_nothing_is_no_obstacle():
    assert out(request(n=1, logit_bias={}, logprobs=False, seed=None, parallel_tool_calls=True)).dropped == ()


def test_what_changes_nothing_about_the_answer_is_named_as_dropped():
    assert out(request(user="u", metadata={"a": "b"})).dropped == ("user", "metadata")


@pytest.mark.parametrize(
    "messages", [None, "hi", [1], [{"role": "robot", "content": "x"}], [{"role": "user", "content": 7}]]
)
def test_messages_that_are_none_are_refused(messages):
    found = translated(request(messages=messages, drop=True), VENDORS["ollama"], 0)
    assert isinstance(found, Fail)
    assert (found.param or "").startswith("messages")


def test_reasoning_effort_becomes_thinking():
    assert body(reasoning_effort="high")["think"] == "high"
    assert body(reasoning_effort="none")["think"] is False


def lines(*objects: dict[str, Any]) -> bytes:
    return b"".join(msgspec.json.encode(item) + b"\n" for item in objects)


def says(**message: Any) -> dict[str, Any]:
    return {"model": "llama3.2", "message": {"role": "assistant", **message}, "done": False}


END = {"model": "llama3.2", "done": True, "done_reason": "stop", "prompt_eval_count": 11, "eval_count": 5}


def streamed(*objects: dict[str, Any], **fields: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    reader = out(request(stream=True, **fields)).reader()
    frames = reader.feed(lines(*objects))
    if not frames or not isinstance(frames[-1], Tail | Fail):
        frames += reader.finish()
    raw = b"".join(frame.payload for frame in frames if isinstance(frame, Data))
    return [msgspec.json.decode(event[6:]) for event in raw.split(b"\n\n") if event], frames


def test_a_stream_begins_with_the_role_and_ends_with_a_reason():
    events, frames = streamed(says(content="Hel"), says(content="lo"), END)
    assert [event["choices"][0]["delta"] for event in events] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert events[-1]["choices"][0]["finish_reason"] == "stop"
    assert {(event["id"], event["created"], event["model"]) for event in events} == {
        ("chatcmpl-01900000000070008000" + "00000000000b", 1_700_000_000, "ollama/llama3.2")
    }
    tail = frames[-1]
    assert (tail.tokens.input, tail.tokens.output, tail.closing) == (11, 5, b"data: [DONE]\n\n")


def test_the_usage_chunk_comes_when_it_is_asked_for():
    events, _ = streamed(says(content="x"), END, include_usage=True)
    assert events[-1]["choices"] == []
    usage = events[-1]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (11, 5, 16)


def test_a_stream_with_calls_ends_with_tool_calls_wherever_they_came():
    call = {"function": {"name": "weather", "arguments": {"city": "Bonn"}}}
    events, frames = streamed(says(content="", tool_calls=[call]), says(content="", tool_calls=[call]), END)
    calls = [call for event in events for call in event["choices"][0]["delta"].get("tool_calls", [])]
    assert [call["index"] for call in calls] == [0, 1]
    assert len({call["id"] for call in calls}) == 2
    assert msgspec.json.decode(calls[0]["function"]["arguments"]) == {"city": "Bonn"}
    assert frames[-1].finish_reason == "tool_calls"


def test_thinking_is_reasoning_and_not_content():
    reader = out(request(stream=True)).reader()
    (role,) = reader.feed(lines(says(content="", thinking="hm")))
    assert isinstance(role, Data)
    assert not role.content
    assert reader.alive
    assert b'"reasoning_content":"hm"' in role.payload


def test_an_error_inside_a_stream_is_a_failure():
    _, frames = streamed(says(content="x"), {"error": "model runner has unexpectedly stopped"})
    assert isinstance(frames[-1], Fail)
    assert frames[-1].kind is FailureKind.SERVER_ERROR
    assert frames[-1].tokens.source == "partial"


@pytest.mark.parametrize(
    ("objects", "kind"),
    [
        ([says(content="x")], FailureKind.CUT),
        ([], FailureKind.MALFORMED),
        ([END], FailureKind.MALFORMED),
        ([says(content=7)], FailureKind.MALFORMED),
    ],
)
def test_a_stream_without_a_proper_end_is_a_failure(objects, kind):
    _, frames = streamed(*objects)
    assert isinstance(frames[-1], Fail)
    assert frames[-1].kind is kind


def test_a_whole_answer_is_one_of_openais():
    call = {"function": {"name": "weather", "arguments": {}}}
    raw = msgspec.json.encode({**END, "message": {"role": "assistant", "content": "", "tool_calls": [call]}})
    data, tail = out(request()).whole(raw)
    assert isinstance(data, Data)
    assert isinstance(tail, Tail)
    answer = msgspec.json.decode(data.payload)
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert answer["choices"][0]["message"]["content"] is None
    assert answer["usage"]["total_tokens"] == 16


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"nope", b'{"error":"busy"}', b'{"message":{"content":""}}'])
def test_an_answer_without_content_is_a_failure(raw):
    (failure,) = out(request()).whole(raw)
    assert isinstance(failure, Fail)


def completions(vendor: str, **fields: Any) -> Outgoing | Fail:
    asked = request(**fields)
    asked.dialect = "openai_completions"
    asked.body = {"model": "auto", **fields}
    asked.body.pop("stream", None)
    asked.body.pop("drop", None)
    return translated(asked, VENDORS[vendor], 0)


def test_completions_become_one_user_message_where_there_is_chat_alone():
    found = completions("ollama", prompt=["Say hi"], max_tokens=5)
    assert isinstance(found, Outgoing)
    assert found.path == "/api/chat"
    assert found.body["messages"] == [{"role": "user", "content": "Say hi"}]
    data, tail = found.whole(msgspec.json.encode({**END, "message": {"content": "hi"}}))
    assert isinstance(data, Data)
    answer = msgspec.json.decode(data.payload)
    assert (answer["object"], answer["choices"][0]["text"]) == ("text_completion", "hi")
    assert isinstance(tail, Tail)


def test_a_streamed_completion_over_chat_is_text():
    found = completions("ollama", prompt="Say hi", stream=True)
    assert isinstance(found, Outgoing)
    reader = found.reader()
    frames = reader.feed(lines(says(content="h"), says(content="i"), END))
    raw = b"".join(frame.payload for frame in frames if isinstance(frame, Data))
    texts = [msgspec.json.decode(event[6:])["choices"][0]["text"] for event in raw.split(b"\n\n") if event]
    assert "".join(texts) == "hi"
    assert isinstance(frames[-1], Tail)


@pytest.mark.parametrize(("name", "value"), [("echo", True), ("best_of", 3), ("suffix", "x")])
def test_what_a_chat_cannot_do_is_refused_or_dropped(name, value):
    found = completions("ollama", prompt="x", **{name: value})
    assert isinstance(found, Fail)
    assert (found.kind, found.param) == (FailureKind.UNSUPPORTED, name)
    dropped = completions("ollama", prompt="x", drop=True, **{name: value})
    assert isinstance(dropped, Outgoing)
    assert dropped.dropped == (name,)


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1, 2]], None, 7])
def test_prompts_that_are_not_one_text_are_refused(prompt):
    found = completions("ollama", prompt=prompt)
    assert isinstance(found, Fail)
    assert found.param == "prompt"


def test_vendors_that_have_completions_get_them_untouched():
    found = completions("llamacpp", prompt=[1, 2], echo=True, whatever=7)
    assert isinstance(found, Outgoing)
    assert found.path == "/completions"
    assert found.body == {"model": "llama3.2", "prompt": [1, 2], "echo": True, "whatever": 7}


def asked_natively(dialect: str, vendor: str = "openai", **body: Any) -> Outgoing | Fail:
    asked = request(stream=body.get("stream", False))
    asked.dialect, asked.body = dialect, {"model": "auto", **body}
    return translated(asked, VENDORS[vendor], 1_700_000_000)


def chat_of_ollamas(**body: Any) -> Outgoing:
    found = asked_natively("ollama_chat", **{"messages": [{"role": "user", "content": "hi"}], **body})
    assert isinstance(found, Outgoing), found
    return found


def test_an_ollama_client_reaches_a_vendor_of_another_dialect():
    found = chat_of_ollamas(
        options={"temperature": 0.5, "num_predict": 9, "num_ctx": 4096, "stop": ["x"], "min_p": 0},
        format=SCHEMA, tools=[TOOL], keep_alive="5m", think="high",
    )  # fmt: skip
    sent = found.body
    assert (sent["temperature"], sent["max_completion_tokens"], sent["stop"]) == (0.5, 9, ["x"])
    assert sent["response_format"]["json_schema"]["schema"] == SCHEMA
    assert sent["tools"][0]["function"]["name"] == "weather"
    assert sent["reasoning_effort"] == "high"
    assert found.dropped == ()
    assert found.stream_type == "application/x-ndjson"


def test_results_without_ids_are_those_of_the_calls_before():
    calls = [{"function": {"name": name, "arguments": {"city": "Bonn"}}} for name in ("weather", "time")]
    messages = [
        {"role": "user", "content": "how is it?"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "noon", "tool_name": "time"},
        {"role": "tool", "content": "rain"},
    ]
    _, assistant, first, second = chat_of_ollamas(messages=messages).body["messages"]
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert [(first["tool_call_id"], first["content"]), (second["tool_call_id"], second["content"])] == [
        (ids[1], "noon"),
        (ids[0], "rain"),
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]"),
        ({"options": {"mirostat": 1}}, "options.mirostat"),
        ({"options": {"temperature": "hot"}}, "options.temperature"),
        ({"options": {"top_k": 5}}, "options.top_k"),
        ({"format": "xml"}, "format"),
        ({"think": "a lot"}, "think"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ],
)
def test_what_an_ollama_client_cannot_have_is_refused_by_its_name(body, param):
    found = asked_natively("ollama_chat", **{"messages": [{"role": "user", "content": "hi"}], **body})
    assert isinstance(found, Fail)
    assert (found.http_status, found.param) == (400, param)


@pytest.mark.parametrize(("name", "value"), [("suffix", "x"), ("raw", True), ("template", "x"), ("context", [1])])
def test_generate_over_a_chat_refuses_what_only_a_prompt_can_do(name, value):
    found = asked_natively("ollama_generate", prompt="hi", **{name: value})
    assert isinstance(found, Fail)
    assert found.param == name


def test_generate_is_a_chat_of_one_turn():
    found = asked_natively("ollama_generate", prompt="hi", system="be brief", images=["iVBORw0KGgoAAA"], suffix="")
    assert isinstance(found, Outgoing)
    system, user = found.body["messages"]
    assert system["content"] == "be brief"
    assert user["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgoAAA"
    answer = {"choices": [{"message": {"content": "yo"}, "finish_reason": "length"}], "usage": {}}
    data, _ = found.whole(msgspec.json.encode(answer))
    assert isinstance(data, Data)
    told = msgspec.json.decode(data.payload)
    assert (told["response"], told["done"], told["done_reason"]) == ("yo", True, "length")
    assert told["created_at"] == "2023-11-14T22:13:20Z"


def test_a_stream_of_openais_becomes_lines_with_whole_calls_and_the_end_apart():
    reader = chat_of_ollamas(stream=True).reader()
    call = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": '{"ci'}}
    chunks = [
        {"delta": {"role": "assistant", "reasoning_content": "hm"}},
        {"delta": {"content": "let me see"}},
        {"delta": {"tool_calls": [call]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": 'ty":"Bonn"}'}}]}},
        {"delta": {}, "finish_reason": "tool_calls"},
    ]
    raw = b"".join(b"data: " + msgspec.json.encode({"choices": [chunk]}) + b"\n\n" for chunk in chunks)
    frames = reader.feed(raw + b"data: [DONE]\n\n")
    found = [
        msgspec.json.decode(line)["message"]
        for frame in frames
        if isinstance(frame, Data)
        for line in frame.payload.splitlines()
    ]
    assert found[0]["thinking"] == "hm"
    assert found[1]["content"] == "let me see"
    assert found[2]["tool_calls"][0]["function"] == {"index": 0, "name": "weather", "arguments": {"city": "Bonn"}}
    tail = frames[-1]
    assert isinstance(tail, Tail)
    last = msgspec.json.decode(tail.closing)
    assert (last["done"], last["done_reason"]) == (True, "stop")


def test_an_ollama_client_of_ollama_is_passed_through():
    found = asked_natively("ollama_chat", "ollama", messages=[], keep_alive=0, models=["a"], whatever=7)
    assert isinstance(found, Outgoing)
    assert found.body == {"model": "llama3.2", "messages": [], "keep_alive": 0, "whatever": 7, "stream": False}
    raw = b'{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"unload","x":[1]}'
    data, tail = found.whole(raw)
    assert data == Data(raw, content=True)
    assert isinstance(tail, Tail)


def test_lines_pass_untouched_and_the_last_waits_for_the_record():
    found = asked_natively("ollama_generate", "ollama", prompt="hi", stream=True)
    assert isinstance(found, Outgoing)
    reader = found.reader()
    first, last = b'{"response" :"h\\u00e9","z":1}\r\n\n', b'{"response":"","done":true,"eval_count":1}\n'
    frames = reader.feed((first + last)[:10]) + reader.feed((first + last)[10:])
    tail = frames[-1]
    assert isinstance(tail, Tail)
    assert b"".join(frame.payload for frame in frames if isinstance(frame, Data)) == first
    assert tail.closing == last


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b'{"error":"model runner has unexpectedly stopped"}\n', FailureKind.SERVER_ERROR),
        (b'{"response":7}\n', FailureKind.MALFORMED),
        (b'{"done":true}\n', FailureKind.MALFORMED),
        (b'{"response":"x","done":false}\n', FailureKind.CUT),
        (b"", FailureKind.MALFORMED),
    ],
)
def test_broken_lines_are_failures_where_they_stand(raw, kind):
    found = asked_natively("ollama_generate", "ollama", prompt="hi", stream=True)
    assert isinstance(found, Outgoing)
    reader = found.reader()
    frames = reader.feed(raw)
    frames = frames if frames and isinstance(frames[-1], Fail) else [*frames, *reader.finish()]
    assert isinstance(frames[-1], Fail)
    assert frames[-1].kind is kind


def test_vectors_go_both_ways():
    found = asked_natively("ollama_embed", "openai", input="hi", keep_alive="5m", dimensions=2)
    assert isinstance(found, Outgoing)
    assert (found.path, found.body["input"], found.body["dimensions"]) == ("/embeddings", ["hi"], 2)
    answer = {"data": [{"index": 0, "embedding": [0.5, 1.0]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    data, _ = found.whole(msgspec.json.encode(answer))
    assert isinstance(data, Data)
    assert msgspec.json.decode(data.payload) == {
        "model": "ollama/llama3.2", "embeddings": [[0.5, 1.0]], "prompt_eval_count": 3,
    }  # fmt: skip
    native = asked_natively("ollama_embed", "ollama", input=["hi"])
    assert isinstance(native, Outgoing)
    raw = b'{"embeddings": [[1]], "prompt_eval_count": 2}'
    data, tail = native.whole(raw)
    assert data == Data(raw, content=True)
    assert isinstance(tail, Tail)
    assert tail.tokens.input == 2
    assert asked_natively("ollama_embed", "openai", input=[1]).param == "input"  # pyright: ignore[reportAttributeAccessIssue]
