"""The wall: a scripted vendor on a real socket that does to each attempt what a test told it, and keeps a log of all.

``async with Upstream() as wall: wall.script("small", rate_limited("2"), answer("hello"))``. As a process:
``python -m shared.testing.upstream --port 0 --log FILE`` prints its address, and is scripted by ``POST /__script``
(``{"model", "behaviours", "repeat"}``), read by ``GET /__attempts``, and told ``POST /__release`` and ``/__reset``.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self, TextIO

import msgspec

from shared.testing import upstream_dialects as dialects
from shared.testing.upstream_behaviour import Behaviour
from shared.testing.upstream_connection import Attempt, Connection

ANY: Final = "*"
"""The name of a script that holds for every model without one of its own."""

_PROPER: Final = Behaviour()


class Upstream:
    """A scripted vendor; ``url`` is its base, without ``/v1``."""

    def __init__(
        self,
        *,
        models: Sequence[str] = ("small", "large"),
        api_key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        log: Path | None = None,
    ) -> None:
        """``host``: the address it listens on; ``api_key``: what the vendor's header must carry, else 401;
        ``log``: a file of JSON lines.
        """
        self.models = list(models)
        self.api_key = api_key
        self.attempts: list[Attempt] = []
        self._host = host
        self._port = port
        self._log_path = log
        self._log: TextIO | None = None
        self._scripts: defaultdict[str, deque[Behaviour]] = defaultdict(deque)
        self._repeated: dict[str, Behaviour] = {}
        self._connections: set[Connection] = set()
        self._connection_count = 0
        self._released = asyncio.Event()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Listen."""
        if self._log_path is not None:
            self._log = self._log_path.open("a", encoding="utf-8", buffering=1)
        self._server = await asyncio.get_running_loop().create_server(lambda: Connection(self), self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every socket."""
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.gather(*(connection.ended.wait() for connection in list(self._connections)))
        await self._server.wait_closed()
        if self._log is not None:
            self._log.close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """Base address, for Ollama as it is, for OpenAI with ``/v1`` behind it."""
        return f"http://{self._host}:{self._port}"

    @property
    def completions(self) -> list[Attempt]:
        """The attempts that asked for a completion (not lists of models, not probes)."""
        return [attempt for attempt in self.attempts if dialects.is_completion(attempt.path)]

    @property
    def open_connections(self) -> int:
        """How many sockets are open now."""
        return len(self._connections)

    def script(self, model: str, *behaviours: Behaviour, repeat: bool = False) -> None:
        """Say what the next attempts at ``model`` do, in order; ``repeat``: the last one for ever.

        ``model`` may be ``"*"`` for any completion, or a path such as ``/v1/models``.
        """
        self._scripts[model].extend(behaviours)
        if repeat:
            self._repeated[model] = behaviours[-1]

    def reset(self) -> None:
        """Forget every script and attempt."""
        self._scripts.clear()
        self._repeated.clear()
        self.attempts.clear()
        self._released.clear()

    def release(self) -> None:
        """Let every held answer, and those held later, go on."""
        self._released.set()

    async def until(self, condition: Callable[[], bool], limit_s: float = 10) -> None:
        """Wait until ``condition`` holds, asked again at each event on the wall; raises TimeoutError."""
        async with asyncio.timeout(limit_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    # What the connections use:

    def next_behaviour(self, model: str, path: str) -> Behaviour:
        """Take the behaviour that is due."""
        names = (model, ANY) if dialects.is_completion(path) else (path,)
        for name in names:
            if self._scripts[name]:
                return self._scripts[name].popleft()
            if name in self._repeated:
                return self._repeated[name]
        return _PROPER

    def opened(self, connection: Connection) -> int:
        """Count a socket in."""
        self._connections.add(connection)
        self._connection_count += 1
        self.changed()
        return self._connection_count

    def closed(self, connection: Connection) -> None:
        """Count a socket out."""
        self._connections.discard(connection)
        self.changed()

    def note(self, what: str, attempt: Attempt) -> None:
        """Append to the log: ``started``, ``finished`` or ``closed``."""
        self.changed()
        if self._log is not None and not self._log.closed:
            entry = {"what": what, "at": time.time(), "attempt": attempt}
            self._log.write(msgspec.json.encode(entry).decode() + "\n")

    def changed(self) -> None:
        """Wake those who wait for a condition."""
        self._changed.set()

    async def released(self) -> None:
        """Wait for ``release``."""
        await self._released.wait()

    def control(self, method: str, path: str, body: bytes) -> bytes | None:
        """Answer a request of the test itself; None: it is none. Raises msgspec.DecodeError for a bad script."""
        if path == "/__attempts" and method == "GET":
            return msgspec.json.encode(self.attempts)
        if method != "POST":
            return None
        if path == "/__script":
            order = msgspec.json.decode(body, type=_Order)
            self.script(order.model, *order.behaviours, repeat=order.repeat)
        elif path == "/__release":
            self.release()
        elif path == "/__reset":
            self.reset()
        else:
            return None
        return b"{}"


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    behaviours: list[Behaviour]
    model: str = ANY
    repeat: bool = False


async def _run(host: str, port: int, log: Path | None, models: Sequence[str]) -> None:
    async with Upstream(host=host, port=port, log=log, models=models) as wall:
        sys.stdout.write(wall.url + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Run the wall as a process until it is interrupted; prints its address."""
    parser = argparse.ArgumentParser(prog="python -m shared.testing.upstream", description="A scripted vendor")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--log", type=Path, default=None, help="append every attempt here, as JSON lines")
    parser.add_argument("--models", default="small,large", help="what it lists, with commas")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(options.host, options.port, options.log, options.models.split(",")))


if __name__ == "__main__":
    main()
