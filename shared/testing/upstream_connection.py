"""One socket of the wall: requests are parsed as they come, and answered, or betrayed, as their behaviour says."""

import asyncio
import contextlib
import socket
import struct
import time
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

import httptools
import msgspec

from shared.testing import upstream_dialects as dialects
from shared.testing.upstream_behaviour import Behaviour, Fault, unauthorized
from shared.testing.upstream_form import Asked, Script, Step

_LAST_CHUNK: Final = b"0\r\n\r\n"


class Attempt(msgspec.Struct, kw_only=True):
    """One request to the wall, as the wall saw it; times are seconds since the epoch."""

    index: int
    connection: int
    """Number of the socket: equal numbers shared a kept-alive connection."""
    method: str
    path: str
    model: str
    stream: bool
    headers: list[tuple[str, str]]
    """As received, names in lower case."""
    body: Any
    """Decoded JSON, or text where it is none."""
    behaviour: Behaviour
    started_at: float
    status: int | None = None
    bytes_sent: int = 0
    events_sent: int = 0
    text_sent: str = ""
    """The content that left, so far."""
    claimed: Any = None
    """The usage that was claimed, where it was sent."""
    first_byte_at: float | None = None
    finished_at: float | None = None
    """When the whole scripted answer had left; None while it runs, and where the client left before."""
    closed_at: float | None = None
    """When the socket closed."""
    closed_by: str | None = None
    """``client`` or ``server``."""

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


class Wall(Protocol):
    """What a socket needs of the wall that it belongs to."""

    models: list[str]
    api_key: str | None
    attempts: list[Attempt]

    def next_behaviour(self, model: str, path: str) -> Behaviour:
        """Take the behaviour that is due."""
        ...

    def opened(self, connection: "Connection") -> int:
        """Count a socket in; returns its number."""
        ...

    def closed(self, connection: "Connection") -> None:
        """Count a socket out."""
        ...

    def note(self, what: str, attempt: Attempt) -> None:
        """Append to the log: ``started``, ``finished`` or ``closed``."""
        ...

    def changed(self) -> None:
        """Wake those who wait for a condition."""
        ...

    async def released(self) -> None:
        """Wait until held answers may go on."""
        ...

    def control(self, method: str, path: str, body: bytes) -> bytes | None:
        """Answer a request of the test itself; None: it is none. Raises msgspec.DecodeError for a bad script."""
        ...


class _Gone(Exception):
    """The socket closed while an answer was under way."""


class _Request:
    """One request while it is parsed."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()
        self.method = ""
        self.keep_alive = True


class Connection(asyncio.Protocol):
    """A client's socket; requests on it are answered one after the other."""

    def __init__(self, wall: Wall) -> None:
        self._wall = wall
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._request = _Request()
        self._requests: asyncio.Queue[_Request] = asyncio.Queue()
        self._attempts: list[Attempt] = []
        self._attempt: Attempt | None = None
        self._lost = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closing = False
        self._task: asyncio.Task[None]
        self._number = 0
        self.ended = asyncio.Event()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._number = self._wall.opened(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        """Parse what came; what is not HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note when the socket closed, and by whom."""
        self._lost.set()
        self._writable.set()
        for attempt in self._attempts:
            attempt.closed_at = time.time()
            attempt.closed_by = "server" if self._closing else "client"
            self._wall.note("closed", attempt)
        self._wall.closed(self)

    def pause_writing(self) -> None:
        """Wait for a client that reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on writing."""
        self._writable.set()

    # httptools

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._request = _Request()

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        self._request.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._request.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._request.body += body

    def on_message_complete(self) -> None:
        """Queue a whole request."""
        self._request.method = self._parser.get_method().decode()
        self._request.keep_alive = self._parser.should_keep_alive()
        self._requests.put_nowait(self._request)

    # Serving

    def abort(self, *, reset: bool = False) -> None:
        """Close without a goodbye; ``reset``: with RST."""
        self._closing = True
        raw: Any = self._transport.get_extra_info("socket")
        if reset and raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def _serve(self) -> None:
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            while not self._transport.is_closing():
                taken = asyncio.ensure_future(self._requests.get())
                await asyncio.wait((taken, lost), return_when=asyncio.FIRST_COMPLETED)
                if not taken.done():
                    taken.cancel()
                    return
                request = taken.result()
                with contextlib.suppress(_Gone):
                    await self._answer(request)
                if not request.keep_alive:
                    self._closing = True
                    self._transport.close()
        finally:
            lost.cancel()
            self.ended.set()

    async def _answer(self, request: _Request) -> None:
        path = unquote(urlsplit(request.url.decode("latin-1")).path)
        try:
            control = self._wall.control(request.method, path, bytes(request.body))
        except msgspec.DecodeError as error:
            await self._whole(400, str(error).encode(), "text/plain")
            return
        if control is not None:
            await self._whole(200, control, "application/json")
            return
        body = _decoded(bytes(request.body))
        asked = dialects.asked(path, body) if request.method == "POST" else None
        attempt = self._begin(request, path, body, asked)
        behaviour = attempt.behaviour
        await self._pause(behaviour.delay_ms)
        if behaviour.fault is not None and behaviour.where == "before_headers":
            await self._fail(behaviour.fault, behaviour)
        if behaviour.body is not None or (behaviour.error is not None and behaviour.fault is None):
            await self._plain(behaviour, asked)
        elif asked is None:
            await self._list(request, behaviour)
        elif asked.stream:
            await self._stream(asked, attempt, dialects.streamed(asked, behaviour, attempt.index))
        else:
            await self._one(attempt, dialects.whole(asked, behaviour, attempt.index))
        self._attempt = None
        attempt.finished_at = time.time()
        self._wall.note("finished", attempt)

    def _begin(self, request: _Request, path: str, body: Any, asked: Asked | None) -> Attempt:
        model = asked.model if asked is not None else ""
        wall = self._wall
        proofs = [
            ("authorization", f"Bearer {wall.api_key}"),
            ("x-api-key", wall.api_key),
            ("x-goog-api-key", wall.api_key),
        ]
        allowed = wall.api_key is None or any(proof in request.headers for proof in proofs)
        attempt = Attempt(
            index=len(wall.attempts),
            connection=self._number,
            method=request.method,
            path=path,
            model=model,
            stream=asked is not None and asked.stream,
            headers=request.headers,
            body=body,
            behaviour=wall.next_behaviour(model, path) if allowed else unauthorized(),
            started_at=time.time(),
        )
        wall.attempts.append(attempt)
        self._attempts.append(attempt)
        self._attempt = attempt
        wall.note("started", attempt)
        return attempt

    async def _plain(self, behaviour: Behaviour, asked: Asked | None) -> None:
        if behaviour.body is not None:
            body = behaviour.body.encode()
        else:
            assert behaviour.error is not None
            body = dialects.error_bytes(asked.form if asked else None, behaviour.error, behaviour.status)
        kind = behaviour.content_type
        if kind is None:
            streamed = asked is not None and asked.stream and behaviour.error is None
            kind = "text/event-stream" if streamed else "application/json"
        await self._whole(behaviour.status, body, kind, behaviour.headers, behaviour.chunk_bytes)

    async def _list(self, request: _Request, behaviour: Behaviour) -> None:
        target = unquote(request.url.decode("latin-1"))
        body = dialects.told(
            request.method, target, dict(request.headers), _decoded(bytes(request.body)), self._wall.models
        )
        if body is None:
            await self._whole(
                404, b'{"error":{"message":"no such route","type":"invalid_request_error"}}', "application/json"
            )
            return
        await self._whole(behaviour.status, body, "application/json", behaviour.headers)

    async def _one(self, attempt: Attempt, script: Script) -> None:
        behaviour = attempt.behaviour
        [step] = script.steps
        body = step.payload
        await self._head(behaviour.status, script.content_type, behaviour.headers, len(body))
        await self._pause(behaviour.first_token_ms)
        if behaviour.fault is not None:
            cut = {"mid_content": len(body) // 2, "before_end": len(body) - 1}.get(behaviour.where, 0)
            await self._send(body[:cut])
            await self._fail(behaviour.fault, behaviour)
            if behaviour.fault != "hold":
                # The length was promised: what is missing of the JSON is blank.
                await self._send(b" " * (len(body) - cut))
                return
            await self._send(body[cut:])
        else:
            await self._send(body, behaviour.chunk_bytes)
        self._sent(attempt, step)

    async def _stream(self, asked: Asked, attempt: Attempt, script: Script) -> None:
        behaviour = attempt.behaviour
        await self._head(behaviour.status, script.content_type, behaviour.headers, None)
        await self._pause(behaviour.first_token_ms)
        for _ in range(behaviour.pings):
            await self._event(asked.form.ping, behaviour)
        for position, step in enumerate(script.steps):
            if behaviour.fault is not None and position == script.fault_at:
                ended = await self._fail(behaviour.fault, behaviour, step.payload, asked)
                if ended:
                    return
            await self._event(step.payload, behaviour)
            self._sent(attempt, step)
        await self._send(_LAST_CHUNK)

    def _sent(self, attempt: Attempt, step: Step) -> None:
        attempt.events_sent += step.content
        attempt.text_sent += step.text
        if step.claimed is not None:
            attempt.claimed = step.claimed
        self._wall.changed()

    async def _fail(
        self, fault: Fault, behaviour: Behaviour, following: bytes = b"", asked: Asked | None = None
    ) -> bool:
        """Do the fault (``asked``: in a stream); returns whether the body ends here. A closed socket raises _Gone."""
        match fault:
            case "reset":
                self.abort(reset=True)
            case "close":
                await self._hang_up()
            case "half":
                await self._send(_chunk(following[: len(following) // 2]))
                await self._hang_up()
            case "stall":
                await self._lost.wait()
            case "hold":
                await self._released_or_lost()
                return False
            case "malformed":
                if asked is not None:
                    await self._event(asked.form.event(dialects.MALFORMED), behaviour)
                return False
            case "error" | "end":
                if asked is None:
                    return False
                if fault == "error" and behaviour.error is not None:
                    await self._event(dialects.error_event(asked.form, behaviour.error), behaviour)
                await self._send(_LAST_CHUNK)
                return True
        await self._lost.wait()
        raise _Gone

    async def _released_or_lost(self) -> None:
        waits = [asyncio.ensure_future(self._wall.released()), asyncio.ensure_future(self._lost.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _hang_up(self) -> None:
        """Close after what was written has left."""
        self._closing = True
        self._transport.close()
        await self._lost.wait()

    async def _pause(self, duration_ms: int) -> None:
        if duration_ms:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), duration_ms / 1000)

    async def _event(self, payload: bytes, behaviour: Behaviour) -> None:
        await self._pause(behaviour.event_ms)
        size = behaviour.chunk_bytes or len(payload)
        for start in range(0, len(payload), size):
            await self._send(_chunk(payload[start : start + size]))

    async def _whole(
        self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None, piece: int | None = None
    ) -> None:
        await self._head(status, kind, headers or {}, len(body))
        await self._send(body, piece)

    async def _head(self, status: int, kind: str, headers: dict[str, str], length: int | None) -> None:
        named = {"content-type": kind, "date": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if self._attempt is not None:
            named["x-request-id"] = f"wall-{self._attempt.index}"
            self._attempt.status = status
        named |= {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
        named |= headers
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in named.items()), "", ""]
        await self._send("\r\n".join(lines).encode("latin-1"))

    async def _send(self, data: bytes, piece: int | None = None) -> None:
        size = piece or max(len(data), 1)
        for start in range(0, len(data), size):
            if self._lost.is_set() or self._transport.is_closing():
                raise _Gone
            part = data[start : start + size]
            self._transport.write(part)
            if self._attempt is not None:
                self._attempt.bytes_sent += len(part)
                self._attempt.first_byte_at = self._attempt.first_byte_at or time.time()
            await self._writable.wait()
            # One turn of the loop, so that pieces leave as pieces and a client that left is seen.
            await asyncio.sleep(0)


def _chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        return body.decode(errors="replace")
