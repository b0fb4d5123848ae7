"""The HTTP server of a process: uvicorn with a deadline and a size for request headers, and an orderly end."""

import contextlib
import socket
from asyncio import TimerHandle, Transport
from collections.abc import Generator
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.kernel.errors import StartRefused
from shared.runtime.asgi import App

MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 64 * 1024
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class _Oversized(Exception):
    """The headers are larger than allowed; raised through the parser to stop it."""


def _protocol(header_timeout_s: float) -> type[HttpToolsProtocol]:
    class Protocol(HttpToolsProtocol):
        """uvicorn's protocol, which by itself waits for headers for ever and takes any number of them."""

        _deadline: TimerHandle | None = None
        _reading_headers = False
        _header_bytes = 0

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._deadline = self.loop.call_later(header_timeout_s, self._too_slow)

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            before = self._header_bytes
            try:
                super().data_received(data)
            except _Oversized:
                self._reject(_TOO_LARGE)
                return
            if not self._reading_headers:
                self._disarm()
                return
            if self._header_bytes == before:
                self._header_bytes += len(data)
                if self._header_bytes > MAX_HEADER_BYTES:
                    self._reject(_TOO_LARGE)
                    return
            if self._deadline is None:
                self._deadline = self.loop.call_later(header_timeout_s, self._too_slow)

        def on_message_begin(self) -> None:
            self._reading_headers = True
            self._header_bytes = 0
            super().on_message_begin()

        def on_header(self, name: bytes, value: bytes) -> None:
            self._header_bytes += len(name) + len(value)
            if self._header_bytes > MAX_HEADER_BYTES or len(self.headers) >= MAX_HEADERS:
                raise _Oversized
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._reading_headers = False
            super().on_headers_complete()

        def _disarm(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _too_slow(self) -> None:
            self._reject(_TOO_SLOW if self._reading_headers else b"")

        def _reject(self, answer: bytes) -> None:
            self._disarm()
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

    async def run_until_stopped(self) -> None:
        """Serve until ``stop``; running answers have their grace to end."""
        await self.serve([self._bound])

    def stop(self) -> None:
        """Take no new connection and let running answers end; a second call ends them at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
        if self.force_exit:
            for task in list(self.server_state.tasks):
                task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the process."""
        yield


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
