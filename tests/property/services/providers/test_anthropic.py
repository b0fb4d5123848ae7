"""Anthropic's messages say what the canonical form holds: written and read again it is the same."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.providers.domain.canonical import (
    Answer,
    Ask,
    CallDelta,
    Choice,
    Message,
    Part,
    RefusalText,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from services.providers.domain.dialect import Asked, Wire
from services.providers.domain.dialects.anthropic_messages.dialect import CLIENT, SPEECH
from services.providers.domain.gathering import gathered
from services.providers.domain.sse import parse_event, split_events
from tests.support.canonical import answers, asks, deltas_of

ASK = Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))
ASKED = Asked(id="0" * 32, model="p/m", created=1, ask=ASK)
WIRE = Wire(native_id="claude-opus-4-6", max_output=64_000)


def read(raw: bytes) -> Answer:
    decoder = SPEECH.stream_decoder()
    events = [parse_event(event) for event in split_events(raw)]
    return gathered(delta for event in events if event is not None for delta in decoder.feed(event.event, event.data))


def as_said(answer: Answer) -> Answer:
    """With refusals as the words they are here, sources as finds of a search, proofs that are not there empty."""
    parts: list[Part] = []
    for part in answer.choices[0].parts:
        match part:
            case RefusalText(text=text):
                parts.append(Text(text=text))
            case Text(citations=citations):
                bare = tuple(msgspec.structs.replace(one, raw=None) for one in citations)
                parts.append(msgspec.structs.replace(part, citations=bare))
            case ToolCall(arguments=arguments):
                same = msgspec.json.encode(msgspec.json.decode(arguments)).decode()
                parts.append(msgspec.structs.replace(part, arguments=same))
            case _:
                parts.append(part)
    choice = Choice(parts=tuple(parts), finish=answer.choices[0].finish)
    return msgspec.structs.replace(answer, id=None, model=None, service_tier=None, choices=(choice,))


@given(answers("anthropic_messages", cited=True))
def test_an_answer_is_read_as_it_was_written(answer):
    again = SPEECH.decode_answer(msgspec.json.decode(CLIENT.encode_answer(answer, ASKED)))
    assert as_said(again) == as_said(answer)


@given(answers("anthropic_messages", cited=True), st.integers(1, 50))
def test_a_stream_is_read_as_it_was_written(answer, size):
    encoder = CLIENT.stream_encoder(ASKED)
    sent = b"".join(encoder.encode(delta) for delta in deltas_of(answer, size))
    last, closing = encoder.end(answer.tokens)
    assert as_said(read(sent + last + closing)) == as_said(answer)


@given(answers("gemini"), st.booleans())
def test_the_proof_of_another_vendors_thoughts_and_calls_comes_back_byte_exact(answer, streamed):
    signed = tuple(
        msgspec.structs.replace(part, signature=Signature("gemini", "c2lnb+/=")) if isinstance(part, ToolCall) else part
        for part in answer.choices[0].parts
    )
    answer = msgspec.structs.replace(answer, choices=(Choice(parts=signed, finish=answer.choices[0].finish),))
    if streamed:
        encoder = CLIENT.stream_encoder(ASKED)
        sent = b"".join(encoder.encode(delta) for delta in deltas_of(answer))
        answered = read(sent + b"".join(encoder.end(answer.tokens)))
        content = msgspec.json.decode(CLIENT.encode_answer(answered, ASKED))["content"]
    else:
        content = msgspec.json.decode(CLIENT.encode_answer(answer, ASKED))["content"]
    body = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": content}]}
    assert CLIENT.decode_request(body).messages[1].parts == as_said(answer).choices[0].parts


def taken(ask: Ask) -> Ask:
    """As Anthropic takes it: thoughts with a proof alone, objects closed, thinking as the model sees fit."""
    messages = []
    for message in ask.messages:
        parts = []
        for part in message.parts:
            if isinstance(part, ToolCall):
                same = msgspec.json.encode(msgspec.json.decode(part.arguments)).decode()
                parts.append(msgspec.structs.replace(part, arguments=same))
            elif not isinstance(part, Text) or part.text.strip():
                parts.append(part)
        kept = tuple(part for part in parts if not isinstance(part, Thinking) or part.signature is not None)
        if not kept:
            continue
        if messages and messages[-1].role == message.role and message.role != "system":
            merged = (*messages[-1].parts, *kept)
            messages[-1] = msgspec.structs.replace(messages[-1], parts=merged)
        else:
            messages.append(msgspec.structs.replace(message, parts=kept))
    form = ask.format
    if form is not None:
        schema = {"additionalProperties": False, **(form.schema or {})}
        form = msgspec.structs.replace(form, name=None, schema=schema)
    reasoning = None if ask.reasoning is None else msgspec.structs.replace(ask.reasoning, adaptive=True)
    return msgspec.structs.replace(
        ask, messages=tuple(messages), format=form, reasoning=reasoning, max_output=ask.max_output or 64_000
    )


@given(asks("anthropic_messages"))
def test_a_request_is_read_as_it_was_written(ask):
    said = taken(ask)
    if all(message.role == "system" for message in said.messages):
        return
    assert CLIENT.decode_request(SPEECH.encode_request(ask, WIRE)) == said


def test_calls_that_are_written_at_once_keep_their_blocks():
    encoder = CLIENT.stream_encoder(ASKED)
    deltas = [CallDelta(1, '{"a"', "c1", "f"), CallDelta(2, "{}", "c2", "g"), CallDelta(1, ":1}")]
    sent = b"".join(encoder.encode(delta) for delta in deltas)
    parts = read(sent).choices[0].parts if b"message_delta" in sent else ()
    assert parts == ()
    told = [msgspec.json.decode(line[6:]) for line in sent.split(b"\n") if line.startswith(b"data: ")]
    pieces = [(one["index"], one["delta"]["partial_json"]) for one in told if one["type"] == "content_block_delta"]
    assert pieces == [(0, '{"a"'), (1, "{}"), (0, ":1}")]
