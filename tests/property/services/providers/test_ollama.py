"""Ollama says what the canonical form holds: written and read again it is the same, at any split."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.providers.domain.canonical import (
    Answer,
    Ask,
    Choice,
    Delta,
    Media,
    Message,
    Part,
    Text,
    Thinking,
    ToolCall,
)
from services.providers.domain.dialect import Asked, Wire
from services.providers.domain.dialects.ollama.dialect import CHAT_CLIENT, CHAT_NATIVE, GENERATE_CLIENT, SPEECH
from services.providers.domain.gathering import gathered
from services.providers.domain.ndjson import Lines
from services.providers.domain.translating import TranslatedStream
from shared.contracts.frames import Completion, Data, Fail, Tail
from shared.contracts.usage import Tokens
from tests.support.canonical import answers, asks, deltas_of

HI = Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))
ASKED = Asked(id="0" * 32, model="p/m", created=1, ask=HI, include_usage=True)
WIRE = Wire(native_id="m")


def read(raw: bytes) -> list[Delta]:
    decoder = SPEECH.stream_decoder()
    return [delta for line in Lines().feed(raw) for delta in decoder.feed("", line)]


def as_said(answer: Answer) -> Answer:
    """As Ollama can say it: thoughts, words and calls, each in one piece; no proofs, no classes of what was cached."""
    choice = answer.choices[0]
    thoughts = "".join(part.text for part in choice.parts if isinstance(part, Thinking))
    words = "".join(getattr(part, "text", "") for part in choice.parts if not isinstance(part, Thinking | ToolCall))
    calls = [call for part in choice.parts if isinstance(part, ToolCall) for call in (compact(part),)]
    parts: list[Part] = [Thinking(text=thoughts)] if thoughts else []
    parts += [Text(text=words)] if words else []
    tokens = answer.tokens
    asked = tokens.input + tokens.cached + tokens.cache_write
    return Answer(
        choices=(Choice(parts=(*parts, *calls), finish=choice.finish),),
        tokens=Tokens(input=asked, output=tokens.output, source="provider"),
    )


def compact(call: ToolCall) -> ToolCall:
    same = msgspec.json.encode(msgspec.json.decode(call.arguments)).decode()
    return msgspec.structs.replace(call, arguments=same)


def without_names(answer: Answer) -> Answer:
    return msgspec.structs.replace(answer, id=None, model=None)


@given(answers("ollama_chat"))
def test_an_answer_is_read_as_it_was_written(answer):
    again = SPEECH.decode_answer(msgspec.json.decode(CHAT_CLIENT.encode_answer(answer, ASKED)))
    assert without_names(again) == as_said(answer)


@given(answers("ollama_chat"), st.integers(1, 50))
def test_a_stream_is_read_as_it_was_written(answer, size):
    encoder = CHAT_CLIENT.stream_encoder(ASKED)
    sent = b"".join(encoder.encode(delta) for delta in deltas_of(answer, size))
    last, closing = encoder.end(answer.tokens)
    assert without_names(gathered(read(sent + last + closing))) == as_said(answer)


@given(answers("ollama_chat"), st.lists(st.integers(0, 10_000), max_size=8))
def test_a_stream_reads_the_same_at_any_split(answer, cuts):
    encoder = CHAT_CLIENT.stream_encoder(ASKED)
    sent = b"".join(encoder.encode(delta) for delta in deltas_of(answer)) + b"".join(encoder.end(answer.tokens))
    places = sorted({cut % (len(sent) + 1) for cut in cuts})
    pieces = [sent[one:other] for one, other in zip([0, *places], [*places, len(sent)], strict=True)]
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
    request = Completion(
        attempt_id="a", request_id="r", provider_id="p", native_id="m", model="p/m", dialect="ollama_chat", body=body,
        stream=True,
    )  # fmt: skip
    for make in (
        lambda: TranslatedStream(request, ASKED, SPEECH, GENERATE_CLIENT),
        lambda: CHAT_NATIVE.reader(request),
    ):
        assert collected(make(), pieces) == collected(make(), [sent])


def collected(reader: Any, pieces: list[bytes]) -> tuple[bytes, Any]:
    shown = b""
    for frame in [*(frame for piece in pieces for frame in reader.feed(piece)), *reader.finish()]:
        if isinstance(frame, Tail | Fail):
            return shown, frame
        assert isinstance(frame, Data)
        shown += frame.payload
    raise AssertionError("a stream without an end")


def taken(ask: Ask) -> Ask:
    """As Ollama takes it: a format without its name, thoughts as words alone, no choice."""
    messages: list[Message] = []
    for message in ask.messages:
        thoughts = "".join(part.text for part in message.parts if isinstance(part, Thinking))
        rest = tuple(
            compact(part) if isinstance(part, ToolCall) else part
            for part in message.parts
            if not isinstance(part, Thinking)
        )
        parts: tuple[Part, ...] = (*((Thinking(text=thoughts),) if thoughts else ()), *rest)
        messages.append(msgspec.structs.replace(message, parts=parts))
    form = None if ask.format is None else msgspec.structs.replace(ask.format, name=None)
    reasoning = None if ask.reasoning is None else msgspec.structs.replace(ask.reasoning, shown=True)
    return msgspec.structs.replace(ask, messages=tuple(messages), format=form, reasoning=reasoning, tool_choice=None)


def sendable(ask: Ask) -> Ask:
    """With images of a kind that is known by their bytes: Ollama takes no addresses, and no names of kinds."""
    image = Media(kind="image", media_type="image/png", data="iVBORw0KGgo=")
    messages = (
        msgspec.structs.replace(
            message, parts=tuple(image if isinstance(part, Media) else part for part in message.parts)
        )
        for message in ask.messages
    )
    return msgspec.structs.replace(ask, messages=tuple(messages))


@given(asks("ollama_chat").map(sendable))
def test_a_request_is_read_as_it_was_written(ask):
    assert CHAT_CLIENT.decode_request(SPEECH.encode_request(ask, WIRE)) == taken(ask)
