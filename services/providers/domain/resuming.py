"""Going on with a stream that broke: what was shown of it, and the next model's answer spliced onto it.

The words so far are read off the very bytes that the client got, by its own dialect. The next model is asked to go on
with them (a prefill), and its words are written by an encoder that was told the words so far first, so that it stands
where the stream stands. Tool calls, media and several answers at once are never spliced.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, cast

import msgspec

from services.providers.domain.canonical import (
    Ask,
    Begin,
    CallDelta,
    CitationDelta,
    Counted,
    Delta,
    Finished,
    Json,
    MediaDelta,
    Message,
    OpaqueDelta,
    RefusalDelta,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
)
from services.providers.domain.dialect import Asked, Client, Malformed, StreamDecoder, StreamEncoder
from services.providers.domain.errors import UNREADABLE
from services.providers.domain.gathering import gathered
from services.providers.domain.registry import SPEECHES
from services.providers.domain.sse import parse_event, split_events
from services.providers.domain.usage import estimated_tokens
from shared.contracts.frames import Completion, Data, Fail, Frame, Partial
from shared.contracts.usage import Tokens

MOST: Final = 4 * 1024 * 1024
"""Bytes of a stream that are kept: a longer one is not gone on with."""
_READ_AS: Final[Mapping[str, str]] = {"ollama_generate": "ollama_chat"}
"""Dialects of clients whose streams read as another's."""
_SEQUENCE: Final = re.compile(rb'"sequence_number": ?(\d{1,9})')
_DECODE: Final = msgspec.json.Decoder().decode
_ENCODE: Final = msgspec.json.Encoder().encode
_PARTS: Final = (CallDelta, RefusalDelta, MediaDelta, CitationDelta, OpaqueDelta)


class Shown:
    """Keeps what the client is shown of one attempt; its failure carries it."""

    def __init__(self, request: Completion) -> None:
        self._request = request
        self._payloads: list[bytes] | None = []
        self._size = 0
        self._content = request.resume is not None

    def seen(self, frame: Frame) -> Frame:
        """Take a frame on its way to the client, and return it: a failure with what was shown before it."""
        if type(frame) is Data:
            self._content = self._content or frame.content
            self._size += len(frame.payload)
            if self._size > MOST:
                self._payloads = None
            if self._payloads is not None:
                self._payloads.append(frame.payload)
        elif type(frame) is Fail and self._content and self._payloads is not None:
            partial = partial_of(b"".join(self._payloads), self._request.dialect, self._request.resume)
            return msgspec.structs.replace(frame, partial=partial)
        return frame


def partial_of(shown: bytes, dialect: str, before: Partial | None = None) -> Partial | None:
    """Return what ``shown``, the bytes of a stream to a client of ``dialect``, says; None where that does not read.

    ``before``: what had been shown by the attempts before, with which this one went on.
    """
    begun = before.opening if before is not None else b""
    try:
        deltas, opening = deltas_of(begun + shown, dialect)
        already = _text(deltas_of(begun, dialect)[0]) if begun else ""
    except (*UNREADABLE, Malformed):
        return None
    answer = gathered(deltas)
    kinds = [type(part) for choice in answer.choices for part in choice.parts]
    sequences = _SEQUENCE.findall(shown)
    text = _text(deltas)
    earlier = before.sequence if before is not None else None
    return Partial(
        text=text if before is None else before.text + text[len(already) :],
        thinking=_thoughts(deltas),
        opening=opening,
        sequence=int(sequences[-1]) if sequences else earlier,
        tool_calls=kinds not in ([Text], [Thinking, Text]),
    )


def deltas_of(shown: bytes, dialect: str) -> tuple[list[Delta], bytes]:
    """Return the deltas of a stream to a client, and its bytes up to the first word; raises Malformed and more."""
    speech = SPEECHES.get(_READ_AS.get(dialect, dialect))
    lines = speech is not None and speech.framing == "ndjson"
    decoder: StreamDecoder = _Completions() if speech is None else speech.stream_decoder()
    deltas: list[Delta] = []
    opening, size = b"", 0
    for raw, name, data in _events(shown, lines=lines):
        size += len(raw)
        found = list(decoder.feed(name, data)) if data else []
        deltas += found
        if not opening and any(type(delta) is TextDelta and delta.text for delta in found):
            opening = shown[:size]
    return deltas, opening


def _events(shown: bytes, *, lines: bool) -> Iterable[tuple[bytes, str, bytes]]:
    """Yield each event of a stream as it stands there, its name and its data."""
    if lines:
        yield from ((line, "", line.strip()) for line in shown.splitlines(keepends=True))
        return
    for raw in split_events(shown):
        event = parse_event(raw)
        yield (raw, "", b"") if event is None else (raw, event.event, event.data)


class _Completions:
    """Reads the words of a stream of OpenAI's completions."""

    def feed(self, event: str, data: bytes) -> list[Delta]:
        if data.startswith(b"[DONE]"):
            return []
        choices = cast("list[Json]", _DECODE(data).get("choices") or [])
        return [TextDelta(0, choice["text"], choice=choice.get("index", 0)) for choice in choices if choice.get("text")]


def _text(deltas: Iterable[Delta]) -> str:
    return "".join(delta.text for delta in deltas if type(delta) is TextDelta)


def _thoughts(deltas: Iterable[Delta]) -> str:
    return "".join(delta.text for delta in deltas if type(delta) is ThinkingDelta)


def ask_on(ask: Ask, partial: Partial) -> Ask:
    """Return the request with the answer so far as its last message, to be gone on with.

    Without the white space at its end, which Anthropic refuses (https://platform.claude.com/docs/en/build-with-claude/
    working-with-messages) and which tokenizers take for the beginning of the next word; without further thinking, which
    does not go together with a prefill; and with less to say yet.
    """
    words = partial.text.rstrip()
    changes: dict[str, Any] = {"reasoning": None}
    if ask.max_output is not None:
        changes["max_output"] = max(1, ask.max_output - estimated_tokens(len(partial.text.encode())))
    if words:
        *before, last = ask.messages
        if last.role == "assistant":
            changes["messages"] = (*before, msgspec.structs.replace(last, parts=(*last.parts, Text(text=words))))
        else:
            changes["messages"] = (*ask.messages, Message(role="assistant", parts=(Text(text=words),)))
    return msgspec.structs.replace(ask, **changes)


def going_on(client: Client, partial: Partial) -> Client:
    """Return the client's dialect with an encoder that goes on with a stream."""
    lines = not client.stream_type.startswith("text/event-stream")

    def encoder(asked: Asked) -> StreamEncoder:
        return GoingOn(client.stream_encoder(asked), partial, lines=lines)

    return replace(client, stream_encoder=encoder)


class GoingOn:
    """An encoder that stands where a stream stands, and goes on in its names and numbers; see ``StreamEncoder``."""

    def __init__(self, encoder: StreamEncoder, partial: Partial, *, lines: bool) -> None:
        self._encoder = encoder
        self._part = 1 if partial.thinking else 0
        replay = encoder.encode(Begin())
        if partial.thinking:
            replay += encoder.encode(ThinkingDelta(0, partial.thinking))
        replay += encoder.encode(TextDelta(self._part, partial.text))
        self._names = _renamed(_names(replay, lines=lines), _names(partial.opening, lines=lines))
        numbers = _SEQUENCE.findall(replay)
        self._ahead_by = partial.sequence - int(numbers[-1]) if numbers and partial.sequence is not None else 0
        self._offset: int | None = None
        gap = partial.text[len(partial.text.rstrip()) :]
        self._gap: str | None = gap or None
        self._waiting = ""

    def encode(self, delta: Delta) -> bytes:
        """Return the events of a delta; what the model thinks in the middle of its words is not told."""
        match delta:
            case Begin() | ThinkingDelta():
                return b""
            case Counted():
                return self._told(self._encoder.encode(delta))
            case _ if getattr(delta, "choice", 0):
                return b""
            case Finished():
                return self._told(self._encoder.encode(delta))
            case TextDelta():
                part = delta.part + self._shifted(delta.part - self._part)
                text = self._joined(delta.text) if part == self._part else delta.text
                if not text:
                    return b""
                return self._told(self._encoder.encode(msgspec.structs.replace(delta, part=part, text=text)))
            case _ if isinstance(delta, _PARTS):
                part = delta.part + self._shifted(delta.part - self._part - 1)
                return self._told(self._encoder.encode(msgspec.structs.replace(delta, part=part)))
            case _:
                return b""

    def end(self, tokens: Tokens) -> tuple[bytes, bytes]:
        """Return the last events and the end mark."""
        last, closing = self._encoder.end(tokens)
        return self._told(last), self._told(closing)

    def _shifted(self, behind: int) -> int:
        """Return by how much the parts of this answer are numbered further than the model numbers them."""
        if self._offset is None:
            self._offset = -behind
        return self._offset

    def _joined(self, text: str) -> str:
        """Return the first words without the white space that was shown already and is not in the prefill."""
        if self._gap is None:
            return text
        self._waiting += text
        words = self._waiting.lstrip()
        if not words:
            return ""
        space = self._waiting[: len(self._waiting) - len(words)]
        gap, self._gap = self._gap, None
        return (space.removeprefix(gap) if space.startswith(gap) else "") + words

    def _told(self, payload: bytes) -> bytes:
        for ours, theirs in self._names:
            payload = payload.replace(ours, theirs)
        if self._ahead_by:
            payload = _SEQUENCE.sub(self._numbered, payload)
        return payload

    def _numbered(self, found: "re.Match[bytes]") -> bytes:
        return b'"sequence_number":%d' % (int(found[1]) + self._ahead_by)


class _Names(NamedTuple):
    """What a stream calls itself and its items."""

    ids: tuple[str, ...] = ()
    model: str | None = None
    created: int | None = None


def _names(stream: bytes, *, lines: bool) -> _Names:
    """Return the names that the beginning of a stream tells, whatever its dialect."""
    ids: list[str] = []
    model: str | None = None
    created: int | None = None
    for _, _, data in _events(stream, lines=lines):
        if not data.startswith(b"{"):
            continue
        event = cast("Json", _DECODE(data))
        for found in (event, event.get("response"), event.get("message"), event.get("item")):
            if not isinstance(found, dict):
                continue
            fields = cast("Json", found)
            identity, named, at = (
                fields.get("id"),
                fields.get("model"),
                fields.get("created") or fields.get("created_at"),
            )
            if isinstance(identity, str) and identity not in ids:
                ids.append(identity)
            model = named if model is None and isinstance(named, str) else model
            created = at if created is None and type(at) is int else created
    return _Names(tuple(ids), model, created)


def _renamed(ours: _Names, theirs: _Names) -> list[tuple[bytes, bytes]]:
    """Return what to put in place of what; quotes inside texts are escaped, so only names are met."""
    pairs = [(_ENCODE(one), _ENCODE(other)) for one, other in zip(ours.ids, theirs.ids, strict=False)]
    if ours.model is not None and theirs.model is not None:
        pairs.append((b'"model":' + _ENCODE(ours.model), b'"model":' + _ENCODE(theirs.model)))
    if ours.created is not None and theirs.created is not None:
        pairs += [(b'"%b":%d' % (key, ours.created), b'"%b":%d' % (key, theirs.created)) for key in _CREATED]
    return [(one, other) for one, other in pairs if one != other]


_CREATED: Final = (b"created", b"created_at")
