"""One HTTP/1.1 answer as it arrives: its head, then its body in pieces, bounded, whatever the split."""

import asyncio
import zlib
from typing import Any, Final, Protocol

import httptools

_MOST_UNREAD: Final = 64 * 1024
"""Bytes of a head, of trailers, or of anything else that brings the answer no further."""
_MOST_HEADERS: Final = 256
_MOST_WAITING: Final = 256 * 1024
"""Bytes of a body that may wait to be read before the sender is held back."""
_MOST_AT_ONCE: Final = 1024 * 1024
"""Bytes that one step of decompression may give."""
_WITHOUT_BODY: Final = (204, 304)


class Broken(OSError):
    """The connection ended before the answer did, or what came is not HTTP."""


class BrokenTwice(Broken):
    """The same of a request that was sent again, after the kept connection it went over had ended unheard."""


class Line(Protocol):
    """The connection an answer comes over."""

    def hold(self) -> None:
        """Read no more for a while."""
        ...

    def go_on(self) -> None:
        """Read again."""
        ...

    def finished(self, *, whole: bool) -> None:
        """The answer is not read any more; ``whole``: all of it came, and the peer keeps the connection."""
        ...


class Answer:
    """Fed by its connection, read by whoever asked. Only one may wait for it at a time."""

    __slots__ = (
        "_chunks",
        "_error",
        "_held",
        "_inflate",
        "_keep",
        "_line",
        "_loop",
        "_moved",
        "_parser",
        "_unread",
        "_until_end",
        "_waiter",
        "_waiting",
        "_whole",
        "began",
        "headers",
        "resent",
        "status",
    )

    def __init__(self, line: Line, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        """By name in lower case; of several with one name the first."""
        self.began = False
        """Whether a byte of it came."""
        self.resent = False
        """Whether it was asked for twice."""
        self._line = line
        self._loop = loop
        self._parser: Any = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._unread = 0
        self._moved = False
        self._held = False
        self._error: Broken | None = None
        self._inflate: Any = None
        self._until_end = False
        self._whole = False
        self._keep = False

    @property
    def content_type(self) -> str:
        """The media type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int | None:
        """The length of the body as it travels; None: not said."""
        length = self.headers.get("content-length")
        return int(length) if length is not None and length.isdecimal() else None

    async def head(self) -> None:
        """Wait until ``status`` and ``headers`` are there; raises Broken."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def readany(self) -> bytes:
        """Return what is there of the body, at least a byte, or nothing at its end; raises Broken."""
        while True:
            if self._chunks or (self._inflate is not None and self._inflate.unconsumed_tail):
                if data := self._take():
                    return data
            elif self._error is not None:
                raise self._error
            elif self._whole:
                if self._inflate is not None and not self._inflate.eof:
                    raise Broken("its compressed answer is cut short")
                return b""
            else:
                await self._wait()

    def at_eof(self) -> bool:
        """Whether all of the body came and was read, as far as that is known without reading on."""
        return self._whole and not self._chunks and self._inflate is None

    def close(self) -> None:
        """Be done with it: the connection is kept where the answer came whole, else it ends."""
        self._parser = None  # it holds this answer: whoever is in a circle waits for the garbage collector
        if self._held:
            self._line.go_on()
        self._line.finished(whole=self._whole and self._keep)

    def feed(self, data: bytes) -> None:
        """Take bytes from the connection."""
        if self._whole or self._parser is None:
            self._keep = False  # nothing was asked any more
            return
        self.began = True
        self._moved = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep = False
            if not self._whole:
                self.lost("what it answered is not HTTP/1.1")
                return
        self._unread = 0 if self._moved else self._unread + len(data)
        if self._unread > _MOST_UNREAD:
            self.lost("the head of its answer is too long")
        elif self._waiting > _MOST_WAITING and not self._held:
            self._held = True
            self._line.hold()

    def ended(self, error: Exception | None) -> None:
        """Take the end of the connection, which is also the end of an answer that gave no length."""
        if self._whole:
            self._keep = False
        elif self._until_end and error is None:
            self._whole = True
            self._wake()
        else:
            self.lost(f"the connection was closed{'' if error is None else f': {error}'}")

    def lost(self, why: str) -> None:
        """Give up: what came of the body is still read, then it is Broken."""
        self._keep = False
        self._error = self._error or Broken(why)
        self._wake()

    def on_message_begin(self) -> None:
        """For the parser; what follows a whole answer was not asked for."""
        if self._whole:
            raise Broken("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """For the parser, of trailers too."""
        if self.status:
            return
        if len(self.headers) >= _MOST_HEADERS:
            raise Broken("too many headers")
        self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """For the parser."""
        status = self._parser.get_status_code()
        if status < 200:  # it only announces the answer
            self.headers.clear()
            return
        self.status = status
        self._moved = True
        headers = self.headers
        chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._until_end = "content-length" not in headers and not chunked and status not in _WITHOUT_BODY
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("gzip", "x-gzip", "deflate"):
            self._inflate = zlib.decompressobj(32 + zlib.MAX_WBITS)
        elif encoding not in ("identity", ""):
            self._error = Broken(f"its answer is compressed as {encoding!r}, which was not asked for")
        self._wake()

    def on_body(self, data: bytes) -> None:
        """For the parser."""
        self._chunks.append(data)
        self._waiting += len(data)
        self._moved = True
        self._wake()

    def on_message_complete(self) -> None:
        """For the parser."""
        if self.status:
            self._whole = self._moved = True
            self._keep = self._parser.should_keep_alive() and not self._until_end
            self._wake()

    def _take(self) -> bytes:
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._waiting = 0
        if self._held:
            self._held = False
            self._line.go_on()
        if self._inflate is None:
            return data
        try:
            return self._inflate.decompress(self._inflate.unconsumed_tail + data, _MOST_AT_ONCE)
        except zlib.error as error:
            raise Broken(f"its compressed answer does not read: {error}") from error

    async def _wait(self) -> None:
        self._waiter = waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
