"""The same dialect on both sides of a stream of server-sent events: bytes go on untouched, and are read at the side."""

from abc import ABC, abstractmethod

import msgspec

from services.providers.domain.dialect import malformed
from services.providers.domain.errors import UNREADABLE, error_in_answer, read_error
from services.providers.domain.sse import EventTooLarge, Framer
from services.providers.domain.usage import settled
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Frame, Tail
from shared.contracts.usage import NO_TOKENS, Tokens


class SideReader(ABC):
    """What all such readers share: cutting into whole events, the rules of a stream's end, and the frames.

    A dialect brings ``_read``, which notes what passes in ``_began``, ``_content``, ``_size`` and ``_answered``.
    """

    __slots__ = ("_answered", "_began", "_content", "_framer", "_request", "_size")

    def __init__(self, request: Completion) -> None:
        self._request = request
        self._framer = Framer()
        self._answered: str | None = None
        self._began = False
        self._content = False
        self._size: int = 0
        """Bytes of content and reasoning, about."""

    @property
    def alive(self) -> bool:
        """Whether content or reasoning came."""
        return self._size > 0

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes; see ``Reader``."""
        try:
            whole = self._framer.feed(data)
        except EventTooLarge:
            return [self._fail(malformed("the vendor sent an event of more than 1 MiB"))]
        return self._read(whole) if whole else []

    def finish(self) -> list[Frame]:
        """Take the end of the connection; see ``Reader``."""
        rest = self._framer.rest().strip(b"\r\n")
        frames = self._read(rest + b"\n\n") if rest else []
        if frames and isinstance(frames[-1], Tail | Fail):
            return frames
        if self._is_over():
            return [*frames, self._end()]
        if not self._began:
            return [*frames, malformed("the vendor ended the stream before it began")]
        return [*frames, self._fail(Fail(kind=FailureKind.CUT, message="the vendor's stream ended in the middle"))]

    def tokens(self) -> Tokens:
        """Return the tokens so far; see ``Reader``."""
        said = self._said()
        if said is None and not self._size:
            return NO_TOKENS
        return settled(said, self._request.body, self._size, whole=False)

    @abstractmethod
    def _read(self, whole: bytes) -> list[Frame]:
        """Read whole events."""

    @abstractmethod
    def _is_over(self) -> bool:
        """Whether the answer is whole although its end mark did not come."""

    @abstractmethod
    def _end(self, closing: bytes = b"") -> Tail | Fail:
        """Return the end; ``closing`` is the dialect's end mark as it came."""

    @abstractmethod
    def _said(self) -> Tokens | None:
        """Return the usage as the vendor counted it up to now."""

    def _passed(self, events: list[bytes]) -> list[Frame]:
        payload = events[0] if len(events) == 1 else b"".join(events)
        return [Data(payload, content=self._content)] if payload else []

    def _whole(self, finish: str | None, closing: bytes) -> Tail:
        return Tail(
            tokens=settled(self._said(), self._request.body, self._size, whole=True),
            answered=self._answered,
            finish_reason=finish,
            closing=closing,
        )

    def _fail(self, failure: Fail) -> Fail:
        return msgspec.structs.replace(failure, tokens=self.tokens())


def not_read(body: bytes) -> Fail:
    """Return the failure of bytes that do not read as their dialect: an error of another shape, or nothing at all."""
    try:
        error = read_error(msgspec.json.decode(body))
    except UNREADABLE:
        error = None
    return malformed("the vendor's answer is not JSON of this dialect") if error is None else error_in_answer(error)
