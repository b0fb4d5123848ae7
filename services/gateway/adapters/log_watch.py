"""Watches whether the log answers: a gateway cut off from it for long must not go on as if nothing were."""

import asyncio
import contextlib
from typing import Final

from shared.kernel.clock import Clock
from shared.log.port import EventLog

INTERVAL_S: Final = 5.0


class LogWatch:
    """Knows for how long the log has not answered."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._last_seen = clock.monotonic()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._run(), name="log watch")

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def away_for_s(self) -> float:
        """Return for how many seconds the log has been away; 0: it answers."""
        if self._log.connected():
            return 0.0
        return self._clock.monotonic() - self._last_seen

    async def _run(self) -> None:
        while True:
            if self._log.connected():
                self._last_seen = self._clock.monotonic()
            await asyncio.sleep(INTERVAL_S)
