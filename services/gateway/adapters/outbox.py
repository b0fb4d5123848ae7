"""Ships the journal's records to the usage log in envelopes, in order, until each is acknowledged."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import structlog

from services.gateway.adapters.journal import Journal, Position
from shared.contracts.usage import encode_usage_envelope
from shared.kernel.errors import LogUnavailable, OutcomeUnknown
from shared.log.port import EventLog

MAX_RECORDS: Final = 256
MAX_BYTES: Final = 512 * 1024
INTERVAL_S: Final = 0.05
RETRY_S: Final = 1.0
STOP_S: Final = 5.0
"""How long the log may take to have the rest."""

log = structlog.get_logger("gateway")


@dataclass(frozen=True, slots=True)
class _Parcel:
    """An envelope on its way, and what the journal needs to hear when it has come."""

    message_id: str
    raw: bytes
    after: Position
    records: int


class Outbox:
    """Tails the journal: what a crash or an absent log left behind goes the same way as what is new."""

    def __init__(self, journal: Journal, event_log: EventLog, gateway: str) -> None:
        self._journal = journal
        self._log = event_log
        self._gateway = gateway
        self._parcel: _Parcel | None = None
        """What was sent and not acknowledged yet: it goes again as it was, so that the log knows it for a repeat."""
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._stopping = False
        self._refused_since: float | None = None

    def refused_for_s(self) -> float:
        """Return for how many seconds the log has taken nothing; 0: it takes what there is."""
        return 0.0 if self._refused_since is None else time.monotonic() - self._refused_since

    def wake(self) -> None:
        """Say that there is something to ship."""
        self._wanted.set()

    async def start(self) -> None:
        """Begin to ship; what a crash left behind goes first."""
        if self._journal.interrupted:
            log.warning("requests cut short by a crash", count=self._journal.interrupted)
        self._wanted.set()
        self._task = asyncio.create_task(self._run(), name="outbox")

    async def stop(self) -> None:
        """Ship what is there, as far as the log answers, and close the journal."""
        self._stopping = True
        self._wanted.set()
        try:
            if self._task is not None:
                # not wait_for, which on Python 3.11 may lose that this itself is cancelled
                await asyncio.wait({self._task}, timeout=STOP_S)
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
            self._journal.close()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if not self._stopping:
                await asyncio.sleep(INTERVAL_S)
            if self._journal.problem is not None:
                self._journal.try_again()
            if self._journal.dropped and self._journal.problem is None:
                log.warning("refusals found no room on the disk and are not recorded", count=self._journal.dropped)
                self._journal.dropped = 0
            try:
                await asyncio.to_thread(self._journal.sync)
                await self._ship()
                self._refused_since = None
            except (LogUnavailable, OutcomeUnknown, OSError) as error:
                if self._stopping:
                    return
                log.warning("usage waits in the journal", error=str(error))
                self._refused_since = self._refused_since or time.monotonic()
                self._wanted.set()
                await asyncio.sleep(RETRY_S)
            if self._stopping:
                return
            if self._journal.problem is not None:
                self._wanted.set()
                await asyncio.sleep(RETRY_S)

    async def _ship(self) -> None:
        """Ship what the journal holds now; what comes meanwhile waits, or each envelope would hold one record."""
        end = self._journal.position
        while self._journal.acked < end:
            parcel = self._parcel or self._next()
            if parcel is None:
                return
            self._parcel = parcel
            await self._log.publish(f"lr.usage.{self._gateway}", parcel.raw, message_id=parcel.message_id)
            self._parcel = None
            self._journal.acknowledge(parcel.after, parcel.records)

    def _next(self) -> _Parcel | None:
        """Return the next records, in an envelope; None: there are none."""
        start = self._journal.acked
        records, after = self._journal.records_after(start, MAX_RECORDS, MAX_BYTES)
        if not records:
            if after != start:
                self._journal.acknowledge(after, 0)
            return None
        # The end is in the name, for after a crash more may follow on the same start; and the journal's life, for a new
        # journal begins at the same positions, within the log's memory of what it took already.
        name = f"{self._gateway}:{self._journal.life}:{_text(start)}-{_text(after)}"
        return _Parcel(name, encode_usage_envelope(self._gateway, _text(start), records), after, len(records))


def _text(position: Position) -> str:
    return f"{position[0]}:{position[1]}"
