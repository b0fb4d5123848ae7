"""Sees a client leave while its request is served."""

import asyncio
from typing import Any, Final

from shared.runtime.asgi import Receive

_WATCH_AFTER_S: Final = 0.1
"""A request shorter than this is not watched for its client leaving: a task for each would cost more than it saves."""


class ClientWatch:
    """Watches for the client to leave, and cancels the task that serves it."""

    def __init__(self, receive: Receive, serving: asyncio.Task[Any] | None) -> None:
        self.left = False
        """Whether the client left."""
        self._receive = receive
        self._serving = serving
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin, once the request has lasted a moment."""
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._start)

    def end(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        self._task = asyncio.create_task(self._wait(), name="client watch")

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        if self._serving is not None:
            self._serving.cancel()
