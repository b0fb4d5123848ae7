"""HTTP/1.1 as clients speak it to us: uvicorn's protocol with a deadline and a size for headers, in few steps."""

import asyncio
import time
from asyncio import TimerHandle, Transport
from collections import deque
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from shared.runtime.asgi import WHOLE_BODY

MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 64 * 1024
_FRAMING: Final = (b"content-length", b"transfer-encoding")
_SHORT_URL: Final = 256
"""Bytes of an address that is worth remembering: the same few are asked for all day."""
_WITHOUT_BODY: Final = (204, 304)
_CONTROL: Final = bytes({*range(32), 127} - {9})
"""What no header may hold, nor a line of them but at its end."""


def _last_words(status: str, sentence: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {len(sentence)}\r\n"
    return f"{head}connection: close\r\n\r\n{sentence}".encode()


_MALFORMED: Final = _last_words("400 Bad Request", "This is not HTTP.")
_TOO_SLOW: Final = _last_words("408 Request Timeout", "The request's headers did not arrive in time.")
_TOO_LARGE: Final = _last_words(
    "431 Request Header Fields Too Large", "The request's headers are too many or too large."
)


class _Oversized(Exception):
    """The headers are larger than allowed; raised through the parser to stop it."""


class _Dates:
    """What every answer's head begins with; renewed by the request that finds it a second old, and by no timer."""

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._until = 0.0

    def headers(self, now: float) -> list[tuple[bytes, bytes]]:
        """Return the headers at ``now``, seconds on the loop's clock."""
        if now >= self._until:
            self._until = now + 1.0
            self._headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]
        return self._headers


class _Cycle(RequestResponseCycle):
    """uvicorn's side of one request and its answer, with a head that is checked once and not word by word.

    The head leaves with the first of the body, as the ASGI specification has it, and so in one write.
    """

    head: bytes = b""
    asked: bool = False
    """Whether the application has asked for the body."""

    async def receive(self) -> Any:
        """Return the next message for the application."""
        self.asked = True
        return await super().receive()

    async def send(self, message: Any) -> None:
        """Take one message of the application's."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.response_complete or message["type"] != _NEXT[self.response_started]:
            await super().send(message)  # which refuses it
        elif self.response_started:
            self._write_body(message.get("body", b""), message.get("more_body", False))
        else:
            self._take_head(message["status"], message.get("headers", ()))

    def _take_head(self, status: int, headers: Any) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        parts = [STATUS_LINE[status]]
        lines = 1
        closing = False
        for name, value in (*self.default_headers, *headers):
            begin = _begin_of_line(name)
            parts += (begin, value, b"\r\n")
            lines += 1
            if begin == b"content-length: " and self.chunked_encoding is None:
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif begin == b"transfer-encoding: " and value.lower() == b"chunked":
                self.expected_content_length = 0
                self.chunked_encoding = True
            elif begin == b"connection: " and b"close" in [token.strip() for token in value.lower().split(b",")]:
                self.keep_alive = False
                closing = True
        if not self.keep_alive and not closing:
            parts.append(b"connection: close\r\n")
            lines += 1
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _WITHOUT_BODY:
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
            lines += 1
        head = b"".join(parts)
        if len(head) - len(head.translate(None, _CONTROL)) != 2 * lines:
            raise RuntimeError("Invalid HTTP header value.")
        self.head = head + b"\r\n"

    def _write_body(self, body: bytes, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            data = b""
        elif self.chunked_encoding:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                data += b"0\r\n\r\n"
        else:
            data = body
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("Response content longer than Content-Length")
        if self.head:
            data, self.head = self.head + data, b""
        if data:
            self.transport.write(data)
        if not more:
            if self.expected_content_length != 0:
                raise RuntimeError("Response content shorter than Content-Length")
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()


_NEXT: Final = {False: "http.response.start", True: "http.response.body"}
"""The type of the message that an application may send, by whether it has begun to answer."""


@lru_cache(maxsize=1024)
def _begin_of_line(name: bytes) -> bytes:
    """Return a header's name as it begins its line; raises RuntimeError for one that is none."""
    if HEADER_RE.search(name):
        raise RuntimeError("Invalid HTTP header name.")
    return name.lower() + b": "


def _read_url(url: bytes) -> tuple[str, bytes, bytes]:
    """Return path, path as it travelled, and query; raises httptools.HttpParserInvalidURLError."""
    parsed = httptools.parse_url(url)
    raw_path = parsed.path
    path = raw_path.decode("ascii")
    return unquote(path) if "%" in path else path, raw_path, parsed.query or b""


_read_short_url: Final = lru_cache(maxsize=256)(_read_url)


def protocol(header_timeout_s: float) -> type[HttpToolsProtocol]:
    """Return the class of a connection whose requests' headers must be there within so many seconds."""
    dates = _Dates()

    class Protocol(HttpToolsProtocol):
        """uvicorn's protocol, which by itself waits for senders for ever and takes headers of any number and size.

        What it does for every request is said here anew, in fewer steps.
        """

        # uvicorn's, whose types are not ours.
        app: Any
        cycle: Any
        scope: Any
        url: bytes

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._deadline: TimerHandle | None = None
            self._unanswered: deque[RequestResponseCycle] = deque()
            self._in_headers = False
            self._in_body = False
            self._messages = 0
            self._header_bytes = 0
            self._waiting_bytes = 0
            self._idle_since = 0.0
            self._reframing = False
            self._verdict: bytes | None = None
            """What is wrong with what came; nothing more is read."""

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._arm()

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            self._unset_keepalive_if_required()
            for cycle in self._unanswered:  # uvicorn tells the newest one only
                cycle.disconnected = True
                cycle.message_event.set()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._verdict is not None:
                return
            unfinished = self._messages if self._in_headers else None
            self._feed(data)
            if self._in_headers and self._messages == unfinished:
                self._waiting_bytes += len(data)
                if self._waiting_bytes > MAX_HEADER_BYTES:
                    self._reject(_TOO_LARGE)
            if not self._unanswered:
                self._arm()

        def _feed(self, data: bytes) -> None:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._stay(data[upgrade.args[0] :])
            except httptools.HttpParserError:
                self._reject(self._verdict or _MALFORMED)

        def _stay(self, rest: bytes) -> None:
            """Go on in HTTP/1.1 where an upgrade was offered (Java's client offers HTTP/2 on every request).

            The parser has stopped before the body, so another one reads it, told of its length by a head of its own.
            """
            framing = [(name, value) for name, value in self.headers if name in _FRAMING]
            head = b"".join(b"%s: %s\r\n" % field for field in framing)
            self.parser = httptools.HttpRequestParser(self)
            self._reframing = True
            self._feed(b"POST / HTTP/1.1\r\n%s\r\n" % head)
            if rest and self._verdict is None:
                self._feed(rest)

        def on_message_begin(self) -> None:
            if self._reframing:
                return
            self._in_headers = True
            self._messages += 1
            self._header_bytes = self._waiting_bytes = 0
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            if self._reframing:
                return
            self._count(len(url))
            self.url += url

        def on_header(self, name: bytes, value: bytes) -> None:
            if self._reframing:
                return
            self._header_bytes += len(name) + len(value)
            headers = self.headers
            if self._header_bytes > MAX_HEADER_BYTES or len(headers) >= MAX_HEADERS:
                self._verdict = _TOO_LARGE
                raise _Oversized
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            headers.append((name, value))

        def on_headers_complete(self) -> None:
            if self._reframing:
                self._reframing = False
                return
            self._disarm()
            parser, scope, url = self.parser, self.scope, self.url
            version = parser.get_http_version()
            scope["http_version"] = version
            scope["method"] = parser.get_method().decode("ascii")
            read = _read_short_url if len(url) <= _SHORT_URL else _read_url
            scope["path"], scope["raw_path"], scope["query_string"] = read(url)
            before = self.cycle
            self.cycle = cycle = _Cycle(
                scope=scope,
                transport=self.transport,
                flow=self.flow,
                logger=self.logger,
                access_logger=self.access_logger,
                access_log=False,
                default_headers=dates.headers(self.loop.time()),
                message_event=asyncio.Event(),
                expect_100_continue=self.expect_100_continue,
                keep_alive=version != "1.0" and parser.should_keep_alive(),
                on_response=self.on_response_complete,
            )
            self._in_headers, self._in_body = False, True
            self._unanswered.append(cycle)
            if before is None or before.response_complete:
                self._start_asgi_task(cycle, self.app)
            else:
                self.flow.pause_reading()
                self.pipeline.appendleft((cycle, self.app))

        def on_body(self, body: bytes) -> None:
            cycle = self.cycle
            if cycle.response_complete:
                return
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

        def on_message_complete(self) -> None:
            if self.parser.should_upgrade():
                return  # it is not: the parser only gave up
            self._in_body = False
            cycle = self.cycle
            if not cycle.response_complete:
                cycle.more_body = False
                if not cycle.asked and len(cycle.body) <= HIGH_WATER_LIMIT:
                    cycle.scope["extensions"] = {WHOLE_BODY: bytes(cycle.body)}
                cycle.message_event.set()

        def on_response_complete(self) -> None:
            self._unanswered.popleft()
            self.server_state.total_requests += 1
            if not self.transport.is_closing():
                self.flow.resume_reading()
                if self.pipeline:
                    self._start_asgi_task(*self.pipeline.pop())
                else:
                    self._rest()
            if self._in_body and not self._unanswered:
                self._arm()  # the rest of a body that nobody reads

        def _rest(self) -> None:
            """Wait for the next request; the timer looks when it is due and is not set anew by each."""
            self._idle_since = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._look_again_in(self.timeout_keep_alive)

        def _look_again_in(self, seconds: float) -> None:
            self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

        def timeout_keep_alive_handler(self) -> None:
            self.timeout_keep_alive_task = None
            if self._in_headers or self._unanswered or self.transport.is_closing():
                return  # the end of the next answer sets it
            left = self._idle_since + self.timeout_keep_alive - self.loop.time()
            if left > 0:
                self._look_again_in(left)
            else:
                self.transport.close()

        def _count(self, size: int) -> None:
            self._header_bytes += size
            if self._header_bytes > MAX_HEADER_BYTES:
                self._verdict = _TOO_LARGE
                raise _Oversized

        def _arm(self) -> None:
            if self._deadline is None and not self.transport.is_closing():
                self._deadline = self.loop.call_later(header_timeout_s, self._too_slow)

        def _disarm(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _too_slow(self) -> None:
            self._reject(_TOO_SLOW if self._in_headers else b"")

        def _reject(self, answer: bytes) -> None:
            """Close with last words; where earlier requests are being answered, they are answered first."""
            self._disarm()
            self._verdict = answer
            if self._in_headers and self._unanswered:
                self._unanswered[-1].keep_alive = False
                return
            if any(cycle.response_started for cycle in self._unanswered):
                answer = b""
            if not self.transport.is_closing():
                self.transport.write(answer)
                self.transport.close()

    return Protocol
