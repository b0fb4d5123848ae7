"""The engine of every translation: a vendor's answer through the canonical form into the client's dialect."""

from typing import Any, Final

import msgspec

from services.providers.domain.canonical import (
    Answer,
    Begin,
    CallDelta,
    CitationDelta,
    Counted,
    Delta,
    Ended,
    Failed,
    Finish,
    Finished,
    MediaDelta,
    OpaqueDelta,
    RefusalDelta,
    RefusalText,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
)
from services.providers.domain.dialect import Asked, Client, Malformed, Speech, VendorFailed, malformed
from services.providers.domain.errors import UNREADABLE, error_in_answer, error_of, read_error
from services.providers.domain.ndjson import Lines, LineTooLarge
from services.providers.domain.sse import EventTooLarge, Framer, parse_event, split_events
from services.providers.domain.usage import settled
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Frame, Tail
from shared.contracts.usage import NO_TOKENS, Tokens

_MAY_BE_EMPTY: Final = (Finish.LENGTH, Finish.CONTENT_FILTER, Finish.REFUSAL, Finish.PAUSE)
_OTHER_CONTENT: Final = (CallDelta, RefusalDelta, MediaDelta, OpaqueDelta)
_DECODE: Final = msgspec.json.Decoder().decode
_ENCODE: Final = msgspec.json.Encoder().encode


class _Events:
    """The whole events of a stream of server-sent events, as name and data."""

    def __init__(self) -> None:
        self._framer = Framer()

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        return self._parsed(self._framer.feed(data))

    def end(self) -> list[tuple[str, bytes]]:
        rest = self._framer.rest().strip(b"\r\n")
        return self._parsed(rest + b"\n\n") if rest else []

    def _parsed(self, whole: bytes) -> list[tuple[str, bytes]]:
        if not whole:
            return []
        found = [parse_event(event) for event in split_events(whole)]
        return [(event.event, event.data) for event in found if event is not None and event.data]


class _Lines:
    """The whole lines of a stream of JSON lines, without a name."""

    def __init__(self) -> None:
        self._lines = Lines()

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        return [("", line) for line in self._lines.feed(data)]

    def end(self) -> list[tuple[str, bytes]]:
        return [("", line) for line in self._lines.end()]


class TranslatedStream:
    """Reads one streamed answer of a vendor in one dialect and writes it in another; see ``Reader``."""

    def __init__(self, request: Completion, asked: Asked, speech: Speech, client: Client) -> None:
        self._request = request
        self._framing = _Lines() if speech.framing == "ndjson" else _Events()
        self._decoder = speech.stream_decoder()
        self._encoder = client.stream_encoder(asked)
        self._began = False
        self._content = request.resume is not None
        self._size = 0
        self._said: Tokens | None = None
        self._answered: str | None = None
        self._finish: Finish | None = None

    @property
    def alive(self) -> bool:
        """Whether content or reasoning came."""
        return self._size > 0

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes."""
        try:
            events = self._framing.feed(data)
        except (EventTooLarge, LineTooLarge):
            return [self._fail(malformed("the vendor sent an event of more than 1 MiB"))]
        return self._read(events) if events else []

    def finish(self) -> list[Frame]:
        """Take the end of the connection."""
        frames = self._read(self._framing.end())
        if frames and isinstance(frames[-1], Tail | Fail):
            return frames
        if self._finish is not None:
            return [*frames, *self._end()]
        if not self._began:
            return [malformed("the vendor ended the stream before it began")]
        return [*frames, self._fail(Fail(kind=FailureKind.CUT, message="the vendor's stream ended in the middle"))]

    def tokens(self) -> Tokens:
        """Return the tokens so far."""
        if self._said is None and not self._size:
            return NO_TOKENS
        return settled(self._said, self._request.body, self._size, whole=False)

    def _read(self, events: list[tuple[str, bytes]]) -> list[Frame]:
        out: list[bytes] = []
        for name, data in events:
            try:
                for delta in self._decoder.feed(name, data):
                    match delta:
                        case Ended():
                            return self._end(out)
                        case Failed(error):
                            return [*self._data(out), self._fail(_failure(error))]
                        case _:
                            self._note(delta)
                            out.append(self._encoder.encode(delta))
            except UNREADABLE:
                return [*self._data(out), self._fail(_unread(data))]
            except Malformed as error:
                return [*self._data(out), self._fail(malformed(str(error)))]
        return self._data(out)

    def _note(self, delta: Delta) -> None:
        self._began = True
        if type(delta) is TextDelta:
            if delta.text:
                self._size += len(delta.text)
                self._content = True
        elif type(delta) is ThinkingDelta:
            self._size += len(delta.text) or (1 if delta.signature else 0)
        elif isinstance(delta, _OTHER_CONTENT):
            self._content = True
            self._size += _size_of(delta)
        elif type(delta) is Counted:
            self._said = delta.tokens
        elif type(delta) is Begin:
            self._answered = delta.model or self._answered
        elif type(delta) is Finished:
            self._finish = delta.reason
        else:
            assert type(delta) is CitationDelta

    def _end(self, out: list[bytes] | None = None) -> list[Frame]:
        frames = self._data(out or [])
        if not self._content and self._finish not in _MAY_BE_EMPTY:
            return [*frames, self._fail(malformed("the vendor's answer holds no content"))]
        tokens = settled(self._said, self._request.body, self._size, whole=True)
        last, closing = self._encoder.end(tokens)
        finish = self._finish.value if self._finish else None
        tail = Tail(tokens=tokens, answered=self._answered, finish_reason=finish, closing=closing)
        return [*frames, *self._data([last]), tail]

    def _data(self, out: list[bytes]) -> list[Frame]:
        payload = out[0] if len(out) == 1 else b"".join(out)
        return [Data(payload, content=self._content)] if payload else []

    def _fail(self, failure: Fail) -> Fail:
        return msgspec.structs.replace(failure, tokens=self.tokens())


def _size_of(delta: CallDelta | RefusalDelta | MediaDelta | OpaqueDelta) -> int:
    match delta:
        case CallDelta():
            return len(delta.arguments) + len(delta.name or "")
        case RefusalDelta():
            return len(delta.text)
        case MediaDelta():
            return len(delta.media.transcript or "") or 1
        case OpaqueDelta():
            return 1


def read_translated(request: Completion, asked: Asked, speech: Speech, client: Client, body: bytes) -> list[Frame]:
    """Read a whole answer of status 200 in one dialect, write it in another: ``Data`` and ``Tail``, or a ``Fail``."""
    try:
        parsed: Any = _DECODE(body)
        if not isinstance(parsed, dict):
            return [_unread(body)]
        answer = speech.decode_answer(parsed)  # pyright: ignore[reportUnknownArgumentType]  keys of JSON are texts
    except UNREADABLE:
        return [_unread(body)]
    except VendorFailed as failed:
        return [_failure(failed.error)]
    except Malformed as error:
        return [_unread(body, str(error))]
    content, size = _measured(answer)
    finish = answer.choices[0].finish if answer.choices else Finish.STOP
    if not content and finish not in _MAY_BE_EMPTY:
        return [malformed("the vendor's answer holds no content")]
    said = None if answer.tokens.source == "none" else answer.tokens
    tokens = settled(said, request.body, size, whole=True)
    payload = client.encode_answer(msgspec.structs.replace(answer, tokens=tokens), asked)
    return [Data(payload, content=True), Tail(tokens=tokens, answered=answer.model, finish_reason=finish.value)]


def _measured(answer: Answer) -> tuple[bool, int]:
    """Return whether an answer holds content, and how many bytes of it and of reasoning, about."""
    content, size = False, 0
    for choice in answer.choices:
        for part in choice.parts:
            match part:
                case Text(text=text) | RefusalText(text=text):
                    content = content or bool(text)
                    size += len(text)
                case Thinking(text=text):
                    size += len(text)
                case other:
                    content = True
                    size += len(_ENCODE(other))
    return content, size


def _failure(error: Any) -> Fail:
    """Return the failure that an error inside an answer is, whatever its shape."""
    return error_in_answer(error_of(error))


def _unread(body: bytes, why: str = "the vendor's answer is not JSON of its dialect") -> Fail:
    try:
        found = read_error(_DECODE(body))
    except UNREADABLE:
        found = None
    return malformed(why) if found is None else error_in_answer(found)
