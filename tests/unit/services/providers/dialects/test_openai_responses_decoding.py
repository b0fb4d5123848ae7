"""What vendors of the Responses answer, whatever they leave out, and how its rarer parts are written."""

from typing import Any

import msgspec
import pytest

from services.providers.domain.canonical import (
    Answer,
    Ask,
    Choice,
    Citation,
    CitationDelta,
    Failed,
    Finish,
    Format,
    Media,
    MediaDelta,
    Message,
    Opaque,
    OpaqueDelta,
    RefusalText,
    Signature,
    Text,
    TextDelta,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from services.providers.domain.dialect import Asked, Malformed, VendorFailed, Wire
from services.providers.domain.dialects.openai_responses.dialect import CLIENT, SPEECH
from services.providers.domain.gathering import gathered
from shared.contracts.usage import NO_TOKENS

OWN = "openai_responses"
ASKED = Asked(id="0" * 32, model="p/m", created=1, ask=Ask(messages=()))
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed"}


def streamed(*events: dict[str, Any]) -> Answer:
    decoder = SPEECH.stream_decoder()
    last = {"type": "response.completed", "response": {"status": "completed"}}
    return gathered(delta for event in (*events, last) for delta in decoder.feed("", msgspec.json.encode(event)))


def done(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def test_items_that_come_as_a_whole_only_are_read():
    source = {"type": "url_citation", "url": "https://x.example"}
    answer = streamed(
        {"type": "response.created", "response": {"id": "r", "model": "m"}},
        done({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}),
        done(SEARCH, 1),
        done({"type": "message", "content": [{"type": "output_text", "text": "a", "annotations": [source]}]}, 2),
        done({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}, 3),
        done({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, 4),
    )
    assert (answer.id, answer.model) == ("r", "m")
    assert answer.choices[0].finish is Finish.TOOL_CALLS
    assert answer.choices[0].parts == (
        Thinking(signature=Signature(OWN, "gAAA"), redacted=True, id="rs_1"),
        Opaque(dialect=OWN, raw=SEARCH),
        Text(text="a", citations=(Citation(url="https://x.example", raw=source),)),
        RefusalText(text="No."),
        ToolCall(id="c", name="f", arguments="{}"),
    )


def test_items_that_come_in_pieces_are_read_once():
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"text": "a"}, {"text": "b"}], "encrypted_content": "gAAA"}
    delta = {"type": "response.reasoning_summary_text.delta"}
    answer = streamed(
        {"type": "response.output_item.added", "item": {"type": "reasoning", "id": "rs_1"}},
        {**delta, "summary_index": 0, "delta": "a"},
        {**delta, "summary_index": 1, "delta": "b"},
        done(item),
        {"type": "response.output_item.added", "output_index": 1, "item": {"type": "message"}},
        {"type": "response.refusal.delta", "output_index": 1, "delta": "No."},
        done({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}, 1),
        {"type": "response.brand_new", "delta": 5},
    )
    thought = Thinking(text="a\n\nb", summary=True, signature=Signature(OWN, "gAAA"), id="rs_1")
    assert answer.choices[0].parts == (thought, RefusalText(text="No."))
    assert answer.choices[0].finish is Finish.REFUSAL
    body = {"status": "completed", "output": [item]}
    assert SPEECH.decode_answer(body).choices[0].parts == (thought,)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_item.added", "item": {"type": "function_call"}},
        {"type": "response.created", "response": None},
        {"type": "response.completed"},
    ],
)
def test_an_event_that_lacks_what_it_is_about_is_malformed(event):
    with pytest.raises(Malformed):
        list(SPEECH.stream_decoder().feed("", msgspec.json.encode(event)))


def test_wrong_types_are_passed_over_and_the_mark_after_the_end_is_none():
    decoder = SPEECH.stream_decoder()
    for kind in ("output_text.delta", "refusal.delta", "reasoning_text.delta", "function_call_arguments.delta"):
        assert not list(decoder.feed("", msgspec.json.encode({"type": f"response.{kind}", "delta": {"a": 1}})))
    for kind in ("output_text.annotation.added", "output_item.added", "output_item.done"):
        event = {"type": f"response.{kind}", "item": "x", "annotation": "y"}
        assert not list(decoder.feed("", msgspec.json.encode(event)))
    assert not list(decoder.feed("", b"[DONE]"))


def test_an_error_is_told_in_the_vendors_words():
    decoder = SPEECH.stream_decoder()
    [failed] = decoder.feed("error", b'{"type": "error", "code": "x", "message": "y"}')
    assert failed == Failed({"code": "x", "message": "y"})
    with pytest.raises(VendorFailed):
        SPEECH.decode_answer({"status": "failed", "error": {"code": "x"}})
    for body in ({"status": "queued"}, {"status": "completed"}, {"output": [{"type": "function_call"}]}):
        with pytest.raises(Malformed):
            SPEECH.decode_answer(body)


def encoded(*deltas: Any) -> list[Any]:
    encoder = CLIENT.stream_encoder(ASKED)
    for delta in deltas:
        encoder.encode(delta)
    _, closing = encoder.end(NO_TOKENS)
    return msgspec.json.decode(closing.partition(b"data: ")[2])["response"]["output"]


def test_images_and_the_vendors_own_items_are_items():
    image = Media(kind="image", media_type="image/webp", data="AAAABBBB")
    parts = (image, Opaque(dialect=OWN, raw=SEARCH), Media(kind="audio", data="CC", transcript="said"))
    payload = CLIENT.encode_answer(Answer(choices=(Choice(parts=parts),)), ASKED)
    whole = msgspec.json.decode(payload)["output"]
    assert [item["type"] for item in whole] == ["image_generation_call", "web_search_call", "message"]
    assert (whole[0]["result"], whole[0]["output_format"]) == ("AAAABBBB", "webp")
    pieces = [
        MediaDelta(0, Media(kind="image", media_type="image/webp", data="AAAA")),
        MediaDelta(0, Media(kind="image", data="BBBB")),
        OpaqueDelta(1, parts[1]),
        MediaDelta(2, Media(kind="audio", data="C", transcript="sa")),
        MediaDelta(2, Media(kind="audio", data="C", transcript="id")),
    ]
    assert [{**item, "id": ""} for item in encoded(*pieces)] == [{**item, "id": ""} for item in whole]


def test_a_source_that_is_named_late_is_in_the_response():
    late = CitationDelta(0, Citation(url="https://x.example"))
    nameless = CitationDelta(0, Citation(quote="no address"))
    [message, _, _] = encoded(TextDelta(0, "a"), OpaqueDelta(1, Opaque(dialect=OWN, raw=SEARCH)), late, nameless,
                              TextDelta(2, "b"))  # fmt: skip
    assert [note["url"] for note in message["content"][0]["annotations"]] == ["https://x.example"]


def test_what_a_vendor_is_asked_in_all_its_forms():
    media = (
        Media(kind="image", file_id="file-1"),
        Media(kind="document", file_id="file-2"),
        Media(kind="document", url="https://x.example"),
        Media(kind="document", text="words"),
        Media(kind="document", media_type="application/pdf", data="AAAA"),
        Media(kind="audio", media_type="audio/mpeg", data="BBBB"),
    )
    ask = Ask(
        messages=(
            Message(role="user", parts=media),
            Message(role="assistant", parts=(RefusalText(text="No."), Opaque(dialect=OWN, raw=SEARCH))),
            Message(role="user", parts=(ToolResult(id="c", content=(Text(text="a"), media[0])),)),
        ),
        stream=True,
        tools=(Tool(name="web_search", opaque=Opaque(dialect=OWN, raw={"type": "web_search"})),),
        tool_choice=ToolChoice(mode="auto", among=("f",)),
        format=Format(kind="json"),
        verbosity="low",
        logprobs=True,
    )
    body = SPEECH.encode_request(ask, Wire(native_id="m"))
    content = body["input"][0]["content"]
    assert [part["type"] for part in content] == [
        "input_image", "input_file", "input_file", "input_text", "input_file", "input_audio",
    ]  # fmt: skip
    assert content[4] == {
        "type": "input_file",
        "filename": "document.pdf",
        "file_data": "data:application/pdf;base64,AAAA",
    }
    assert body["input"][1]["content"] == [{"type": "refusal", "refusal": "No."}]
    assert body["input"][2] == SEARCH
    assert [part["type"] for part in body["input"][3]["output"]] == ["input_text", "input_image"]
    assert body["tools"] == [{"type": "web_search"}]
    assert body["tool_choice"]["tools"] == [{"type": "function", "name": "f"}]
    assert body["text"] == {"format": {"type": "json_object"}, "verbosity": "low"}
    assert body["include"] == ["message.output_text.logprobs"]
