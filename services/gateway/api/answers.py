"""What the client sees of attempts: a whole answer, a stream as it comes, or a stream held until it is whole."""

import asyncio
import contextlib
from typing import Final, Protocol

from services.gateway.api.exchange import Exchange
from shared.contracts.frames import Data, Head, Tail
from shared.contracts.plan import Candidate
from shared.kernel.money import format_usd

Headers = list[tuple[bytes, bytes]]

PING_S: Final = 10.0
"""How long a client that waits for a held answer hears nothing: then, and as often again, a comment."""
MOST_HELD: Final = 32 * 1024 * 1024
"""Bytes of an answer that are held: a longer one is shown from there on."""
_STREAM: Final = "text/event-stream; charset=utf-8"
_HELD: Final = "affinity: it holds this conversation"
_NAMED: Final = "named: the request, or its key, asks for this model"
_HEADERS: Final[dict[tuple[int, bool], tuple[Candidate, tuple[tuple[bytes, bytes], ...]]]] = {}
"""What a candidate's headers are: the same for every answer it gives, and a plan's candidates are few."""
_MAX_HEADERS: Final = 4_096


class Walking(Protocol):
    """The walk whose attempt this is."""

    @property
    def exchange(self) -> Exchange:
        """The request."""
        ...

    def answer_headers(self, head: Head | None) -> Headers:
        """Return the headers that say who answered and why."""
        ...

    def now(self) -> float:
        """Return the monotonic time."""
        ...


class Shown(Protocol):
    """Takes the frames of one attempt."""

    head: Head | None

    async def data(self, frame: Data) -> None:
        """Take bytes."""
        ...

    async def end(self, tail: Tail) -> None:
        """Take the end: the record is closed before the client has it."""
        ...


class Whole:
    """An answer in one piece: nothing is shown before it is whole."""

    def __init__(self, walk: Walking) -> None:
        self.head: Head | None = None
        self._walk = walk
        self._payloads: list[bytes] = []

    async def data(self, frame: Data) -> None:
        """Hold it."""
        self._payloads.append(frame.payload)

    async def end(self, tail: Tail) -> None:
        """Show it."""
        walk, exchange = self._walk, self._walk.exchange
        body = b"".join(self._payloads) + tail.closing
        status = self.head.status if self.head else 200
        headers = [
            (b"content-type", self.head.content_type.encode() if self.head else b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *walk.answer_headers(self.head),
        ]
        cost = exchange.cost()
        if cost is not None:
            headers.append((b"x-localrouter-cost-usd", format_usd(cost).encode()))
        now = walk.now()
        exchange.first_content = now
        exchange.close("succeeded", status, None, now)
        await exchange.start(status, headers)
        await exchange.send({"type": "http.response.body", "body": body})


class Streamed:
    """A stream: held back until its first content, so that another candidate may still answer."""

    def __init__(self, walk: Walking) -> None:
        self.head: Head | None = None
        self._walk = walk
        self._held: list[bytes] = []

    async def data(self, frame: Data) -> None:
        """Show it, from the first content on."""
        exchange = self._walk.exchange
        payload = frame.payload
        if frame.content:
            exchange.delivered += payload.count(exchange.face.event_mark)
        if not exchange.shown:
            self._held.append(payload)
            if not frame.content:
                return
            payload = await self._show()
        exchange.last_sent = payload
        await exchange.send({"type": "http.response.body", "body": payload, "more_body": True})

    async def end(self, tail: Tail) -> None:
        """Show the end."""
        exchange = self._walk.exchange
        payload = b"" if exchange.shown else await self._show()
        exchange.close("succeeded", 200, None, self._walk.now())
        await exchange.send({"type": "http.response.body", "body": payload + tail.closing})

    async def _show(self) -> bytes:
        """Begin the answer, and return what was held of it."""
        walk, exchange = self._walk, self._walk.exchange
        exchange.shown = True
        exchange.first_content = walk.now()
        if not exchange.response_started:
            content_type = self.head.content_type if self.head else _STREAM
            await exchange.start(200, [*stream_headers(content_type), *walk.answer_headers(self.head)])
        payload = b"".join(self._held)
        self._held.clear()
        return payload


class Buffered(Streamed):
    """A stream that is shown when it is whole: whatever breaks before may be tried again."""

    def __init__(self, walk: Walking, pings: "Pings") -> None:
        super().__init__(walk)
        self._pings = pings
        self._size = 0

    async def data(self, frame: Data) -> None:
        """Hold it, unless it is too much."""
        exchange = self._walk.exchange
        if exchange.shown:
            await super().data(frame)
            return
        if frame.content:
            exchange.delivered += frame.payload.count(exchange.face.event_mark)
        self._held.append(frame.payload)
        self._size += len(frame.payload)
        if self._size > MOST_HELD:
            await self._pings.stop()
            exchange.last_sent = await self._show()
            await exchange.send({"type": "http.response.body", "body": exchange.last_sent, "more_body": True})

    async def end(self, tail: Tail) -> None:
        """Show it, whole."""
        await self._pings.stop()
        await super().end(tail)


class Pings:
    """Comments that keep a client waiting for a held stream. The head goes with the first of them: it cannot say any
    more who answers, and a failure after it is the stream's last event."""

    def __init__(self, exchange: Exchange, headers: Headers) -> None:
        self._exchange = exchange
        self._headers = headers
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin to wait; dialects without comments have no pings."""
        if self._exchange.face.comment:
            self._task = asyncio.create_task(self._run(), name="pings")

    async def stop(self) -> None:
        """End, before anything else is sent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        exchange = self._exchange
        while True:
            await asyncio.sleep(PING_S)
            if not exchange.response_started:
                await exchange.start(200, [*stream_headers(_STREAM), *self._headers])
            await exchange.send({"type": "http.response.body", "body": exchange.face.comment, "more_body": True})


def stream_headers(content_type: str) -> Headers:
    """Return the headers of every stream."""
    return [(b"content-type", content_type.encode()), (b"cache-control", b"no-cache")]


def candidate_headers(candidate: Candidate, *, held: bool) -> tuple[tuple[bytes, bytes], ...]:
    """Return who answers and why; ``held``: it went first because it holds the conversation."""
    known = _HEADERS.get((id(candidate), held))
    if known is not None and known[0] is candidate:
        return known[1]
    reasons = [f"{reason.strategy}: {reason.because}" for reason in candidate.reasons] or [_NAMED]
    reason = "; ".join([_HELD, *reasons] if held else reasons)
    headers = (
        (b"x-localrouter-provider", header_value(candidate.provider)),
        (b"x-localrouter-model", header_value(candidate.model)),
        (b"x-localrouter-reason", header_value(reason)),
    )
    if len(_HEADERS) >= _MAX_HEADERS:
        _HEADERS.clear()
    _HEADERS[id(candidate), held] = (candidate, headers)
    return headers


def header_value(text: str) -> bytes:
    """Return ``text`` as a header's value: printable ASCII, so nothing a model is called can forge a header."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(char if " " <= char <= "~" else "?" for char in text)
    return text[:1024].encode()
