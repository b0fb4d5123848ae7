"""The HTTP server of a process: uvicorn with a deadline and a size for request headers, and an orderly end."""

import asyncio
import contextlib
import logging
import socket
from asyncio import TimerHandle, Transport
from collections import deque
from collections.abc import Generator
from typing import Any, Final

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from shared.kernel.errors import StartRefused
from shared.runtime.asgi import App

MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 64 * 1024
_FRAMING: Final = (b"content-length", b"transfer-encoding")


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


def _protocol(header_timeout_s: float) -> type[HttpToolsProtocol]:
    class Protocol(HttpToolsProtocol):
        """uvicorn's protocol, which by itself waits for senders for ever and takes headers of any number and size."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._deadline: TimerHandle | None = None
            self._unanswered: deque[RequestResponseCycle] = deque()
            self._in_headers = False
            self._in_body = False
            self._messages = 0
            self._header_bytes = 0
            self._waiting_bytes = 0
            self._reframing = False
            self._verdict: bytes | None = None
            """What is wrong with what came; nothing more is read."""

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._arm()

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            for cycle in self._unanswered:  # uvicorn tells the newest one only
                cycle.disconnected = True
                cycle.message_event.set()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._verdict is not None:
                return
            self._unset_keepalive_if_required()
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
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            if self._reframing:
                return
            self._count(len(name) + len(value))
            if len(self.headers) >= MAX_HEADERS:
                self._verdict = _TOO_LARGE
                raise _Oversized
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            if self._reframing:
                self._reframing = False
                return
            self._disarm()
            super().on_headers_complete()
            self._in_headers, self._in_body = False, True
            self._unanswered.append(self.cycle)

        def on_message_complete(self) -> None:
            if self.parser.should_upgrade():
                return  # it is not: the parser only gave up
            self._in_body = False
            super().on_message_complete()

        def on_response_complete(self) -> None:
            self._unanswered.popleft()
            super().on_response_complete()
            if self._in_body and not self._unanswered:
                self._arm()  # the rest of a body that nobody reads

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


class HttpServer(uvicorn.Server):
    """One listening server; signals belong to whoever runs the process."""

    def __init__(
        self, app: App, bound: socket.socket, *, header_timeout_s: float = 15.0, grace_s: float = 30.0
    ) -> None:
        options: dict[str, Any] = {
            "loop": "none",
            "http": _protocol(header_timeout_s),
            "ws": "none",
            "lifespan": "off",
            "access_log": False,
            "log_config": None,
            "server_header": False,
            "proxy_headers": False,
            "timeout_keep_alive": 75,
            "timeout_graceful_shutdown": max(1, round(grace_s)),
            "backlog": 2048,
        }
        super().__init__(uvicorn.Config(app, **options))  # pyright: ignore[reportArgumentType]  ASGI types differ in name
        self._bound = bound
        self._stopping = asyncio.Event()

    async def run_until_stopped(self) -> None:
        """Serve until ``stop``; running answers have their grace to end."""
        await self.serve([self._bound])

    async def main_loop(self) -> None:
        """Renew the date header each second until ``stop``; uvicorn's own looks ten times as often."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1.0)

    def stop(self) -> None:
        """Take no new connection and let running answers end; a second call ends them at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._stopping.set()
        if self.force_exit:
            logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
            for task in list(self.server_state.tasks):
                task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the process."""
        yield


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's is about anything but the tasks that were just cancelled on purpose."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def bind(host: str, port: int) -> socket.socket:
    """Return a listening address; raises StartRefused when it is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except OSError as error:
        bound.close()
        why = f"{host}:{port} cannot be listened on: {error.strerror}"
        hint = "; set LOCALROUTER_SERVER__PORT or server.port in localrouter.yaml to another port"
        raise StartRefused(why + hint) from error
    bound.setblocking(False)
    bound.set_inheritable(False)
    return bound
