"""Every recorded answer of Cohere's second chat, and its vectors; the first version (``/v1/chat``) is not spoken."""

from typing import Any

import msgspec

from services.providers.domain.canonical import Answer, Ask, Delta, Ended, Finish, Message, Text, Thinking, ToolCall
from services.providers.domain.dialect import Wire
from services.providers.domain.dialects.cohere_chat.dialect import EMBED_SPEECH, SPEECH
from services.providers.domain.gathering import gathered
from services.providers.domain.sse import Framer, parse_event, split_events
from tests.support.recordings import recorded

FINISH = {"COMPLETE": Finish.STOP, "STOP_SEQUENCE": Finish.STOP, "TOOL_CALL": Finish.TOOL_CALLS}


def second(kind: str) -> list[dict[str, Any]]:
    return [case for case in recorded("cohere-chat", kind) if case["request"]["path"].startswith("/v2")]


def deltas_of(raw: bytes, cut: int = 0) -> list[Delta]:
    framer, decoder = Framer(), SPEECH.stream_decoder()
    found: list[Delta] = []
    for whole in (framer.feed(raw[:cut]), framer.feed(raw[cut:]), framer.rest().strip() + b"\n\n"):
        for event in map(parse_event, split_events(whole)):
            if event is not None and event.data:
                found += decoder.feed(event.event, event.data)
    return found


def said(answer: Answer) -> tuple[str, str, list[tuple[str, str, Any]]]:
    (choice,) = answer.choices
    return (
        "".join(part.text for part in choice.parts if isinstance(part, Text)),
        "".join(part.text for part in choice.parts if isinstance(part, Thinking)),
        [(p.id, p.name, msgspec.json.decode(p.arguments)) for p in choice.parts if isinstance(p, ToolCall)],
    )


def test_every_recorded_answer_is_read_with_nothing_lost_and_goes_back():
    counted = 0
    for case in second("chat"):
        body = case["response"]["body"]
        message = body["message"]
        answer = SPEECH.decode_answer(body)
        blocks = message.get("content") or []
        calls = [(c["id"], c["function"]) for c in message.get("tool_calls") or []]
        assert said(answer) == (
            message.get("tool_plan", "") + "".join(block.get("text", "") for block in blocks),
            "".join(block.get("thinking", "") for block in blocks),
            [(identity, f["name"], msgspec.json.decode(f["arguments"])) for identity, f in calls],
        )
        assert answer.choices[0].finish is FINISH[body["finish_reason"]]
        billed = body["usage"]["billed_units"]
        assert (answer.tokens.input, answer.tokens.output) == (billed["input_tokens"], billed["output_tokens"])
        sources = [source for citation in message.get("citations") or [] for source in citation["sources"]]
        cited = [part.citations for part in answer.choices[0].parts if isinstance(part, Text)]
        assert sum(map(len, cited)) == len(sources)
        ask = Ask(messages=(Message(role="assistant", parts=answer.choices[0].parts),))
        (back,) = SPEECH.encode_request(ask, Wire(native_id="m"))["messages"]
        wanted = {name: value for name, value in message.items() if name != "citations" and value}
        assert back == wanted, case["file"]
        counted += 1
    print(f"cohere chat: {counted}")
    assert counted == 17


def test_every_recorded_stream_is_read_to_its_end():
    counted = 0
    for case in second("stream"):
        raw = case["response"]["raw"]
        events = [msgspec.json.decode(line[6:]) for line in raw.splitlines() if line.startswith("data: {")]
        pieces = [event["delta"]["message"] for event in events if event["type"].endswith("-delta")]
        plan = "".join(piece.get("tool_plan", "") for piece in pieces)
        words = "".join((piece.get("content") or {}).get("text", "") for piece in pieces)
        deltas = deltas_of(raw.encode())
        text, _, calls = said(gathered(deltas))
        assert text == plan + words
        started = [event["delta"]["message"]["tool_calls"] for event in events if event["type"] == "tool-call-start"]
        assert [(c[0], c[1]) for c in calls] == [(c["id"], c["function"]["name"]) for c in started]
        assert isinstance(deltas[-1], Ended)
        assert gathered(deltas).tokens.source == "provider"
        counted += 1
    print(f"cohere stream: {counted}")
    assert counted == 10


def test_a_recorded_stream_is_the_same_however_it_is_split():
    for case in second("stream"):
        raw = case["response"]["raw"].encode()
        wanted = deltas_of(raw)
        for cut in range(1, len(raw), 499):
            assert deltas_of(raw, cut) == wanted


def test_every_recorded_vector_is_read():
    counted = 0
    for case in recorded("cohere-embed", "embeddings"):
        body = case["response"]["body"]
        found = EMBED_SPEECH.decode_answer(body)
        assert list(found.vectors) == body["embeddings"]["float"]
        assert found.tokens.input == body["meta"]["billed_units"]["input_tokens"]
        counted += 1
    assert counted == 6
