"""The HTTP server of a process: uvicorn with a deadline and a size for request headers, and an orderly end."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Generator
from typing import Any

import uvicorn

from shared.kernel.errors import StartRefused
from shared.runtime.asgi import App
from shared.runtime.http_protocol import protocol


class HttpServer(uvicorn.Server):
    """One listening server; signals belong to whoever runs the process."""

    def __init__(
        self, app: App, bound: socket.socket, *, header_timeout_s: float = 15.0, grace_s: float = 30.0
    ) -> None:
        options: dict[str, Any] = {
            "loop": "none",
            "http": protocol(header_timeout_s),
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
        """Wait for ``stop``; uvicorn's own looks ten times a second, and renews a date header that nobody reads."""
        if not self.should_exit:
            await self._stopping.wait()

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
