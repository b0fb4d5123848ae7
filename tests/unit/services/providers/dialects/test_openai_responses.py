"""OpenAI's Responses: what clients ask, what they are answered, and what goes through as it is."""

from typing import Any

import msgspec
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from services.providers.domain.canonical import (
    Answer,
    Ask,
    Begin,
    CallDelta,
    Choice,
    Citation,
    CitationDelta,
    Delta,
    Finish,
    Finished,
    Format,
    Media,
    Message,
    Opaque,
    Reasoning,
    RefusalDelta,
    RefusalText,
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
from services.providers.domain.dialect import Asked, Outgoing, Wire
from services.providers.domain.dialects.openai_responses.dialect import CLIENT, SPEECH
from services.providers.domain.registry import VENDORS
from services.providers.domain.sse import parse_event, split_events
from services.providers.domain.translate import translated
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Tail
from shared.contracts.response_id import Place, decode_response_id, encode_response_id, why_not_previous
from shared.contracts.usage import Tokens

ASK = Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))
ASKED = Asked(id="0" * 32, model="p/m", created=1, ask=ASK, body={"input": "hi"})
TOKENS = Tokens(input=10, cached=5, cache_write=1, output=9, reasoning=4, source="provider")
CLAUDE = Signature("anthropic_messages", "EqQB+/=")
EVENT = TypeAdapter(ResponseStreamEvent)


def asked(**body: Any) -> Ask:
    return CLIENT.decode_request({"model": "x", "input": "hi", **body})


def of(*items: dict[str, Any]) -> tuple[Message, ...]:
    return asked(input=list(items)).messages


def test_a_text_is_what_the_user_says_after_the_instructions():
    assert asked(instructions="Be kind.").messages == (
        Message(role="system", parts=(Text(text="Be kind."),)),
        Message(role="user", parts=(Text(text="hi"),)),
    )


def test_items_of_one_turn_of_the_models_are_one_message():
    found = of(
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Look."}], "content": None},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "One moment."}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "time", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "noon"}]},
    )
    assert found == (
        Message(role="user", parts=(Text(text="Weather?"),)),
        Message(
            role="assistant",
            parts=(
                Thinking(text="Look.", summary=True, id="rs_1"),
                Text(text="One moment."),
                ToolCall(id="c1", name="weather", arguments="{}"),
                ToolCall(id="c2", name="time", arguments="{}"),
            ),
        ),
        Message(
            role="user",
            parts=(
                ToolResult(id="c1", content=(Text(text="rain"),), name="weather"),
                ToolResult(id="c2", content=(Text(text="noon"),), name="time"),
            ),
        ),
    )


def test_images_files_and_sounds_are_read():
    [message] = of(
        {
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
                {"type": "input_image", "image_url": "https://x.example/a.png"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"},
                {"type": "input_file", "file_url": "https://x.example/a.pdf"},
                {"type": "input_file", "file_id": "file-1"},
                {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "mp3"}},
            ],
        }
    )
    assert message.parts == (
        Media(kind="image", media_type="image/png", data="AAAA", detail="low"),
        Media(kind="image", url="https://x.example/a.png"),
        Media(kind="document", media_type="application/pdf", data="BBBB", name="a.pdf"),
        Media(kind="document", url="https://x.example/a.pdf"),
        Media(kind="document", file_id="file-1"),
        Media(kind="audio", media_type="audio/mpeg", data="CCCC"),
    )


def test_parameters_are_read():
    schema = {"type": "object"}
    found = asked(
        text={"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}, "verbosity": "low"},
        reasoning={"effort": "high", "summary": "auto"},
        tools=[{"type": "function", "name": "f", "parameters": schema, "strict": True}, {"type": "web_search"}],
        tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        max_output_tokens=9,
        background=False,
        truncation="auto",
    )  # fmt: skip
    assert found.format == Format(kind="schema", name="n", schema={"type": "object"}, strict=True)
    assert found.reasoning == Reasoning(effort="high", summary="auto", shown=True)
    assert found.tools[0] == Tool(name="f", schema={"type": "object"}, strict=True)
    assert found.tools[1].opaque == Opaque(dialect="openai_responses", raw={"type": "web_search"})
    assert found.tool_choice == ToolChoice(mode="required", among=("f",))
    assert (found.verbosity, found.logprobs, found.max_output) == ("low", True, 9)
    assert found.extra == {"truncation": "auto"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"id": "msg_1"}]}, "input[0]"),
        ({"input": [{"role": "robot", "content": ""}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_film"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": ""}]}, "input[0].call_id"),
        ({"temperature": "hot"}, "temperature"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"include": ["everything"]}, "include[0]"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_name(body, param):
    with pytest.raises(Refused) as refused:
        asked(**body)
    assert refused.value.param == param


def whole(*parts: Any, finish: Finish = Finish.STOP, origin: Asked = ASKED) -> Response:
    payload = CLIENT.encode_answer(Answer(choices=(Choice(parts=parts, finish=finish),), tokens=TOKENS), origin)
    return Response.model_validate_json(payload)


def test_an_answer_is_a_whole_response():
    found = whole(
        Thinking(text="Hm.", signature=CLAUDE),
        Text(text="Hello", citations=(Citation(url="https://x.example", title="X", start=0, end=5),)),
        ToolCall(id="c1", name="f", arguments="{}"),
        finish=Finish.TOOL_CALLS,
    )
    assert (found.output_text, found.status, found.model, found.created_at) == ("Hello", "completed", "p/m", 1)
    assert [item.type for item in found.output] == ["reasoning", "message", "function_call"]
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.total_tokens) == (16, 9, 25)
    assert found.usage.input_tokens_details.cached_tokens == 5
    assert "keeps none" in (why_not_previous(found.id) or "")
    assert len({item.id for item in found.output}) == 3


@pytest.mark.parametrize(
    ("finish", "parts", "status", "reason"),
    [
        (Finish.LENGTH, (Text(text="a"),), "incomplete", "max_output_tokens"),
        (Finish.CONTENT_FILTER, (), "incomplete", "content_filter"),
        (Finish.REFUSAL, (), "incomplete", "content_filter"),
        (Finish.REFUSAL, (RefusalText(text="No."),), "completed", None),
        (Finish.PAUSE, (Text(text="a"),), "completed", None),
    ],
)
def test_why_an_answer_ended_is_its_status(finish, parts, status, reason):
    found = whole(*parts, finish=finish)
    assert found.status == status
    assert (found.incomplete_details.reason if found.incomplete_details else None) == reason


def test_what_another_vendor_signed_comes_back_as_it_was():
    parts = (
        Thinking(text="Hm.", signature=CLAUDE),
        Text(text="a", signature=Signature("gemini", "T=")),
        ToolCall(id="c1", name="f", arguments="{}", signature=Signature("gemini", "C=")),
        ToolCall(id="c2", name="f", arguments="{}"),
        Thinking(signature=Signature("anthropic_messages", "R="), redacted=True),
    )
    response = whole(*parts)
    items = [item.model_dump(exclude_none=True) for item in response.output]
    [message] = asked(input=items).messages
    assert message == Message(role="assistant", parts=parts)


def streamed(*deltas: Delta) -> list[Any]:
    encoder = CLIENT.stream_encoder(ASKED)
    sent = b"".join(encoder.encode(delta) for delta in deltas)
    last, closing = encoder.end(TOKENS)
    parsed = [parse_event(event) for event in split_events(sent + last + closing)]
    assert closing.startswith(b"event: response.")
    found = [EVENT.validate_json(event.data) for event in parsed if event is not None]
    assert [event.sequence_number for event in found] == list(range(len(found)))
    assert all(one is not None and one.event == event.type for one, event in zip(parsed, found, strict=True))
    return found


def test_a_stream_begins_and_ends_every_item():
    found = streamed(
        Begin(id="x"),
        ThinkingDelta(0, "Hm", summary=True),
        ThinkingDelta(0, "."),
        ThinkingDelta(0, signature=CLAUDE),
        TextDelta(1, "Hel"),
        TextDelta(1, "lo"),
        CitationDelta(1, Citation(url="https://x.example")),
        CallDelta(2, "", "c1", "f"),
        CallDelta(2, "{}"),
        Finished(Finish.TOOL_CALLS),
    )
    assert [event.type.removeprefix("response.") for event in found] == [
        "created", "in_progress",
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.annotation.added", "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    response = found[-1].response
    assert response.output_text == "Hello"
    assert response.output[0].encrypted_content == "lr1.anthropic_messages.EqQB+/="
    assert response.output[2].arguments == "{}"
    assert response.usage.total_tokens == 25
    done = [event.item for event in found if event.type == "response.output_item.done"]
    assert [item.model_dump() for item in done] == [item.model_dump() for item in response.output]


def test_arguments_of_calls_side_by_side_stay_apart():
    found = streamed(
        CallDelta(0, "{", "c1", "f"),
        CallDelta(1, "[", "c2", "g"),
        CallDelta(0, "}"),
        CallDelta(1, "]"),
        Finished(Finish.TOOL_CALLS),
    )
    assert [item.arguments for item in found[-1].response.output] == ["{}", "[]"]


def test_thoughts_between_words_are_items_of_their_own():
    found = streamed(
        ThinkingDelta(0, "a"), TextDelta(1, "b"), ThinkingDelta(0, "c"), TextDelta(1, "d"), Finished(Finish.STOP)
    )
    assert [item.type for item in found[-1].response.output] == ["reasoning", "message", "reasoning", "message"]
    assert found[-1].response.output_text == "bd"


def test_a_refusal_and_a_cut_are_told():
    found = streamed(RefusalDelta(0, "No."), Finished(Finish.REFUSAL))
    assert "response.refusal.done" in [event.type for event in found]
    assert found[-1].response.output[0].content[0].refusal == "No."
    cut = streamed(TextDelta(0, "a"), Finished(Finish.LENGTH))[-1]
    assert (cut.type, cut.response.incomplete_details.reason) == ("response.incomplete", "max_output_tokens")


def test_a_vendor_is_asked_in_items_and_keeps_nothing_unasked():
    ask = Ask(
        messages=(
            Message(role="system", parts=(Text(text="Be kind."),)),
            Message(role="user", parts=(Text(text="a"), Media(kind="image", media_type="image/png", data="AAAA"))),
            Message(
                role="assistant",
                parts=(
                    Thinking(text="x", signature=CLAUDE),
                    Thinking(text="y", summary=True, signature=Signature("openai_responses", "gAAA"), id="rs_1"),
                    ToolCall(id="c", name="f", arguments="{}"),
                ),
            ),
            Message(role="user", parts=(ToolResult(id="c", content=(Text(text="r"),)),)),
        ),
        tools=(Tool(name="f"),),
        reasoning=Reasoning(budget=8_000, shown=True),
        max_output=20,
    )
    assert SPEECH.encode_request(ask, Wire(native_id="m", thinks=True)) == {
        "model": "m",
        "store": False,
        "input": [
            {"role": "system", "content": "Be kind."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "a"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
                ],
            },
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "y"}],
                "encrypted_content": "gAAA",
                "id": "rs_1",
            },
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "r"},
        ],
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}
        ],
        "reasoning": {"effort": "medium", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 20,
    }  # fmt: skip


@pytest.mark.parametrize("part", [Media(kind="video", url="https://x.example"), Opaque(dialect="gemini", raw={})])
def test_what_no_item_can_say_is_refused_by_its_place(part):
    ask = Ask(messages=(Message(role="user", parts=(Text(text="a"), part)),))
    with pytest.raises(Refused) as refused:
        SPEECH.encode_request(ask, Wire(native_id="m"))
    assert refused.value.param == "messages[0].content[1]"


def completion(*, stream: bool = False, **body: Any) -> Completion:
    return Completion(
        attempt_id="01900000-0000-7000-8000-000000000001",
        request_id="r",
        provider_id="p",
        native_id="gpt-5",
        model="p/gpt-5",
        dialect="openai_responses",
        body={"model": "p/gpt-5", "input": "hi", **body},
        stream=stream,
    )


def passing(**body: Any) -> Outgoing:
    out = translated(completion(**body), VENDORS["openai"], 0)
    assert isinstance(out, Outgoing)
    return out


def test_a_request_passes_with_the_vendors_model_and_nothing_that_is_another_vendors():
    carried = {"type": "reasoning", "id": "rs_lr0", "summary": [], "encrypted_content": "lr1.gemini.C="}
    own = {"type": "reasoning", "id": "rs_68", "summary": [], "encrypted_content": "gAAA"}
    said = {"type": "message", "id": "msg_lr0", "role": "assistant", "content": []}
    out = passing(models=["a"], made_up=1, input=[carried, own, said])
    assert out.path == "/responses"
    assert out.body == {
        "model": "gpt-5",
        "made_up": 1,
        "input": [own, {"type": "message", "role": "assistant", "content": []}],
    }


def test_the_next_turn_goes_to_the_credential_that_holds_the_one_before():
    before = encode_response_id(Place("p", "c", "resp_68"))
    out = passing(previous_response_id=before)
    assert out.credential_id == "c"
    assert out.body["previous_response_id"] == "resp_68"
    assert out.bound is not None
    body = b'{"id": "resp_69", "previous_response_id": "resp_68", "output": [{"type": "function_call"}]}'
    data, _ = out.bound("c").whole(body)
    assert isinstance(data, Data)
    answer = msgspec.json.decode(data.payload)
    assert decode_response_id(answer["id"]) == Place("p", "c", "resp_69")
    assert answer["previous_response_id"] == before


@pytest.mark.parametrize("before", [encode_response_id(Place("other", "c", "resp_68")), "resp_68", 5])
def test_a_response_that_lies_elsewhere_is_refused(before):
    out = translated(completion(previous_response_id=before), VENDORS["openai"], 0)
    assert isinstance(out, Fail)
    assert (out.http_status, out.param) == (400, "previous_response_id")


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **fields}))


def read(*events: bytes) -> list[Any]:
    out = translated(completion(stream=True), VENDORS["openai"], 0)
    assert isinstance(out, Outgoing)
    assert out.bound is not None
    reader = out.bound("c").reader()
    frames: list[Any] = []
    for one in events:
        frames += reader.feed(one)
        if isinstance(frames[-1], Tail | Fail):
            return frames
    return frames + reader.finish()


CREATED = event("response.created", response={"id": "resp_1", "status": "in_progress"})
WORD = event("response.output_text.delta", delta="Hello")


def test_a_passing_stream_is_read_at_the_side():
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    end = event("response.completed", response={"id": "resp_1", "status": "completed", "model": "m", "usage": usage})
    unknown = b'event: response.new\ndata: {"type":"response.new","x":1}\n\n'
    thought = event("response.reasoning_text.delta", delta="Hm")
    frames = read(CREATED, unknown, thought, WORD, end)
    *data, tail = frames
    assert [frame.content for frame in data] == [False, False, False, True]
    assert [frame.payload for frame in data[1:]] == [unknown, thought, WORD]
    assert isinstance(tail, Tail)
    assert (tail.tokens.input, tail.tokens.output, tail.finish_reason, tail.answered) == (3, 2, "stop", "m")
    found = parse_event(tail.closing)
    assert found is not None
    assert decode_response_id(msgspec.json.decode(found.data)["response"]["id"]) == Place("p", "c", "resp_1")


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ((CREATED, event("error", code="rate_limit_exceeded", message="slow down")), FailureKind.RATE_LIMITED),
        (
            (CREATED, event("response.failed", response={"status": "failed", "error": {"code": "server_error"}})),
            FailureKind.SERVER_ERROR,
        ),
        ((CREATED, WORD), FailureKind.CUT),
        ((CREATED, event("response.completed", response={"status": "completed"})), FailureKind.MALFORMED),
        ((b"data: {\n\n",), FailureKind.MALFORMED),
        ((b'data: {"error": {"code": 503, "message": "x"}}\n\n',), FailureKind.OVERLOADED),
        ((b": ping\n\n",), FailureKind.MALFORMED),
    ],
)
def test_a_stream_that_does_not_end_well_is_a_failure(events, kind):
    last = read(*events)[-1]
    assert isinstance(last, Fail)
    assert last.kind is kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"status": "failed", "error": {"code": "server_error", "message": "x"}}', FailureKind.SERVER_ERROR),
        (b'{"status": "completed", "output": []}', FailureKind.MALFORMED),
        (b'{"status": "completed"}', FailureKind.MALFORMED),
        (b"[]", FailureKind.MALFORMED),
        (b"x", FailureKind.MALFORMED),
        (b'{"error": {"message": "x", "type": "server_error"}}', FailureKind.SERVER_ERROR),
    ],
)
def test_a_whole_answer_that_is_none_is_a_failure(body, kind):
    [failure] = passing().whole(body)
    assert isinstance(failure, Fail)
    assert failure.kind is kind


def test_a_response_in_the_background_passes_without_content():
    data, tail = passing().whole(b'{"id": "resp_1", "status": "queued", "output": []}')
    assert isinstance(data, Data)
    assert isinstance(tail, Tail)
    assert tail.tokens.source == "none"
