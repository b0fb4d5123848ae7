"""A time limit on a task's awaits that is moved for the price of an assignment.

``asyncio.timeout`` costs microseconds for each await it guards, and a stream has an await for every chunk.
"""

import asyncio
import math
from typing import Any


class Watchdog:
    """Cancels its task's await when the time it is armed for comes.

    Arm it before an await and let it rest after; in ``except asyncio.CancelledError`` ask ``expired``; ``close`` it at
    the end. While it rests it cancels nothing, so a generator may yield.
    """

    __slots__ = ("_at", "_expired", "_loop", "_task", "_timer", "_timer_at")

    def __init__(self) -> None:
        """Watch over the running task."""
        task = asyncio.current_task()
        assert task is not None, "only a task waits"
        self._task: asyncio.Task[Any] = task
        self._loop = task.get_loop()
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._expired = False

    def arm(self, at: float) -> None:
        """Cancel the next await when the loop's clock reaches ``at`` (seconds)."""
        self._at = at
        if self._timer is None or at < self._timer_at:
            self._start(at)

    def rest(self) -> None:
        """Let awaits be, until armed again."""
        self._at = math.inf

    def now(self) -> float:
        """Return the time on the clock that it is armed by, in seconds."""
        return self._loop.time()

    def expired(self) -> bool:
        """Whether the cancellation just caught was this watchdog's alone; then it is taken back."""
        if not self._expired:
            return False
        self._expired = False
        return self._task.uncancel() == 0

    def close(self) -> None:
        """Be done."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._look)
        self._timer_at = at

    def _look(self) -> None:
        self._timer = None
        if self._at == math.inf:
            return
        if self._loop.time() < self._at:
            self._start(self._at)
        else:
            self._expired = True
            self._task.cancel()
