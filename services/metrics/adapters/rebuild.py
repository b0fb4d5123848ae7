"""Makes the ledger again from the log, beside the one in use and its traffic, and then puts it in that one's place.

What only the ledger in use knows comes along: Prometheus's counts, which therefore go on as if nothing had been, and
the lengths of the access log's files.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, TypeVar

import structlog

from services.metrics.adapters.consumer import Consumer
from services.metrics.adapters.database import Database, LedgerUnavailable, RowsRefused
from services.metrics.adapters.queries import SqlLedger
from services.metrics.adapters.schema import migrate
from services.metrics.adapters.tables import ACCESS_FILES, COUNTERS
from services.metrics.adapters.writer import Writer
from services.metrics.domain.batches import Batch
from services.metrics.domain.rebuilding import Rebuilding
from shared.kernel.clock import Clock
from shared.kernel.errors import LocalRouterError
from shared.log.port import LR_USAGE, EventLog, Recorded

T = TypeVar("T")

_MESSAGES: Final = 32
_NEAR: Final = 32
"""Messages that may be left when the ledger in use is held still for them."""
_CARRIED: Final = (COUNTERS, ACCESS_FILES)

log = structlog.get_logger("metrics.rebuild")


class Rebuild:
    """At most one rebuild at a time."""

    def __init__(
        self,
        event_log: EventLog,
        *,
        clock: Clock,
        database: Database,
        writer: Callable[[Database], Writer],
        fold: Callable[[Sequence[Recorded]], Batch],
        consumer: Consumer,
        ledger: SqlLedger,
    ) -> None:
        """``writer`` opens a ledger beside ``database``, the one that ``consumer`` writes and ``ledger`` reads."""
        self._log = event_log
        self._clock = clock
        self._database = database
        self._make_writer = writer
        self._fold = fold
        self._consumer = consumer
        self._ledger = ledger
        self._task: asyncio.Task[None] | None = None
        self._at = Rebuilding()

    def at(self) -> Rebuilding:
        """Return how far it is."""
        return self._at

    def begin(self) -> Rebuilding:
        """Begin, where none runs, and return how far it is."""
        if self._at.state != "running":
            self._at = Rebuilding(state="running")
            self._task = asyncio.create_task(self._run(), name="rebuild of the ledger")
        return self._at

    async def start(self) -> None:
        """Nothing to begin: a rebuild is asked for."""

    async def stop(self) -> None:
        """Give up what is running; the ledger in use stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        began = self._clock.monotonic()
        try:
            await self._rebuild()
        except (LocalRouterError, OSError) as error:
            log.error("ledger not rebuilt", error=str(error))
            self._at = replace(self._at, state="failed", error=str(error))
        else:
            log.info("ledger rebuilt", records=self._at.records)
            self._at = replace(self._at, state="done")
        self._at = replace(self._at, took_s=round(self._clock.monotonic() - began, 3))

    async def _rebuild(self) -> None:
        shadow = self._database.beside()
        thread = ThreadPoolExecutor(1, thread_name_prefix="rebuild")
        try:
            await _in(thread, shadow.discard)
            await migrate(shadow.where)
            writer = self._make_writer(shadow)
            try:
                await _in(thread, writer.open)
                await self._catch_up(thread, writer)
                await self._replace(thread, writer, shadow)
            finally:
                await _in(thread, writer.close)
        finally:
            thread.shutdown()

    async def _catch_up(self, thread: ThreadPoolExecutor, writer: Writer) -> None:
        # to where the ledger in use is, not to the end of the log: further than that one it must not be
        identity = (await self._log.position(LR_USAGE)).identity
        self._at = replace(self._at, end=self._consumer.sequence)
        while self._at.end - self._at.sequence > _NEAR or not self._at.sequence:
            before = self._at.sequence
            async for messages in self._messages(before, self._at.end):
                await self._take(thread, writer, messages, identity)
            self._at = replace(self._at, end=self._consumer.sequence)
            if self._at.sequence == before:
                return

    async def _replace(self, thread: ThreadPoolExecutor, writer: Writer, shadow: Database) -> None:
        async with self._consumer.still() as live:
            identity = (await self._log.position(LR_USAGE)).identity
            async for messages in self._messages(self._at.sequence, self._consumer.sequence):
                await self._take(thread, writer, messages, identity)
            if self._at.sequence != self._consumer.sequence:
                raise LedgerUnavailable(
                    f"the log gives messages up to {self._at.sequence} only, and the ledger holds"
                    f" {self._consumer.sequence}"
                )
            carried = await self._consumer.in_thread(lambda: _carried(live))
            await _in(thread, lambda: _carry(writer, carried))
            await _in(thread, writer.close)
            await self._consumer.in_thread(live.close)
            try:
                await self._ledger.between(lambda: self._database.become(shadow))
            finally:
                await self._consumer.in_thread(live.open)

    async def _messages(self, after: int, until: int) -> AsyncGenerator[list[Recorded], None]:
        """Yield the messages up to ``until``, some at a time."""
        waiting: list[Recorded] = []
        last = after
        if until <= after:
            return
        async with contextlib.aclosing(self._log.read(LR_USAGE, after=after)) as messages:
            async for recorded in messages:
                if recorded.sequence > until:
                    break
                if recorded.sequence != last + 1:
                    raise LedgerUnavailable(
                        f"the usage log lacks messages {last + 1} to {recorded.sequence - 1}: what the ledger has of"
                        " them is nowhere else"
                    )
                last = recorded.sequence
                waiting.append(recorded)
                if len(waiting) == _MESSAGES:
                    yield waiting
                    waiting = []
        if waiting:
            yield waiting

    async def _take(
        self, thread: ThreadPoolExecutor, writer: Writer, messages: Sequence[Recorded], identity: str
    ) -> None:
        try:
            taken = await _in(thread, lambda: _write(writer, self._fold(messages), identity))
        except (RowsRefused, ValueError, TypeError, OverflowError) as error:
            if len(messages) > 1:
                for message in messages:
                    await self._take(thread, writer, [message], identity)
                return
            broken = {messages[0].sequence: f"the ledger does not take it: {error}"}
            batch = Batch(broken=broken, sequence=messages[0].sequence)
            taken = await _in(thread, lambda: _write(writer, batch, identity))
        self._at = replace(self._at, sequence=messages[-1].sequence, records=self._at.records + taken)


def _write(writer: Writer, batch: Batch, identity: str) -> int:
    prepared = writer.prepare(batch)
    writer.commit(prepared, identity)
    return len(prepared.fresh.entries)


def _carried(live: Writer) -> list[list[tuple[Any, ...]]]:
    return [live.all_rows(table) for table in _CARRIED]


def _carry(writer: Writer, carried: list[list[tuple[Any, ...]]]) -> None:
    for table, rows in zip(_CARRIED, carried, strict=True):
        writer.put(table, rows)


async def _in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, work)
