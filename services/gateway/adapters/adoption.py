"""Journals that a gateway left behind when it went: shipped by one that is still there."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from services.gateway.adapters.journal import Journal, JournalInUse
from services.gateway.adapters.outbox import Outbox
from shared.kernel.errors import StartRefused
from shared.log.port import EventLog

INTERVAL_S: Final = 30.0
_LOOK_S: Final = 0.2

log = structlog.get_logger("gateway")


class Adoption:
    """Looks now and then beside this gateway's own journal; a folder that somebody has locked is left alone."""

    def __init__(
        self, own: Path, event_log: EventLog, interrupted: Callable[[bytes], bytes], *, interval_s: float = INTERVAL_S
    ) -> None:
        """``own``: this gateway's journal; ``interrupted`` makes a record of what a request was opened with."""
        self._own = own
        self._log = event_log
        self._interrupted = interrupted
        self._interval_s = interval_s
        self._done: dict[Path, dict[str, int]] = {}
        """What a folder looked like when all in it had been shipped."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="journal adoption")

    async def stop(self) -> None:
        """End; what is not shipped yet stays for the next."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            for folder in sorted(self._own.parent.iterdir()):
                if folder != self._own and self._done.get(folder) != _look_of(folder):
                    await self._adopt(folder)
            await asyncio.sleep(self._interval_s)

    async def _adopt(self, folder: Path) -> None:
        try:
            journal = Journal(folder, self._interrupted)
        except JournalInUse:
            return
        except StartRefused as error:
            log.warning("the journal of a gateway that is gone cannot be shipped", error=str(error))
            return
        log.warning("shipping the journal of a gateway that is gone", gateway=folder.name)
        outbox = Outbox(journal, self._log, folder.name)
        await outbox.start()
        try:
            while journal.waiting_bytes():  # noqa: ASYNC110  the outbox says nothing when it is done
                await asyncio.sleep(_LOOK_S)
        finally:
            await outbox.stop()
        self._done[folder] = _look_of(folder)


def _look_of(folder: Path) -> dict[str, int]:
    """Return the sizes of a journal's segments: they change with every entry."""
    return {path.name: path.stat().st_size for path in folder.glob("*.journal")}
