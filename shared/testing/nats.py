"""A real nats-server to throw away: free port, temporary folder, up in some ten milliseconds, killed at will."""

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from shared.log.nats import NatsLog
from shared.log.streams import bootstrap
from shared.runtime.nats_binary import nats_server_binary


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ThrowAwayNats:
    """A server without users whose store is ``folder``; ``kill`` and ``start`` again keep port and store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start, and return when the port is open."""
        config = self.folder / "nats.conf"
        config.write_text(
            f"host: 127.0.0.1\nport: {self.port}\n"
            f'jetstream {{ store_dir: "{self.folder / "store"}", sync_interval: always, max_file: 1G }}\n'
        )
        output = (self.folder / "output").open("wb")
        with output:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603  quick, and the arguments are our own
                [os.fspath(nats_server_binary()), "-c", os.fspath(config)], stdout=output, stderr=output
            )
        await until_open(self.port)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def log(self, name: str = "test") -> NatsLog:
        """Return a connected log with its streams made."""
        log = await NatsLog.connect(self.url, name=name)
        await bootstrap(log.connection)
        return log


async def until_open(port: int, limit_s: float = 10.0) -> None:
    """Return when something listens on a port of loopback; raises TimeoutError."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"nothing listens on port {port}") from None
            await asyncio.sleep(0.005)
        else:
            writer.close()
            await writer.wait_closed()
            return


@contextlib.asynccontextmanager
async def throw_away_nats(folder: Path) -> AsyncGenerator[ThrowAwayNats, None]:
    """Give a running server with its store in ``folder``."""
    server = ThrowAwayNats(folder)
    await server.start()
    try:
        yield server
    finally:
        server.kill()
