"""Keeps the ledger at the end of the usage log: exactly once, in order, and never past a message in silence."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, TypeVar

import structlog

from services.metrics.adapters.database import LedgerUnavailable, RowsRefused
from services.metrics.adapters.schema import migrate
from services.metrics.adapters.writer import CONSUMER, Prepared, Writer
from services.metrics.domain.batches import Added, Batch
from services.metrics.domain.letters import Replayed
from services.metrics.domain.rows import Checkpoint
from services.metrics.settings import MetricsSettings
from shared.kernel.errors import LogDamaged, LogError, StartRefused
from shared.log.port import LR_USAGE, EventLog, Position, Recorded

T = TypeVar("T")

_APART_S: Final = 0.25
"""How far apart transactions begin, unless a full batch waits already."""
_LOOK_S: Final = 0.02
_MESSAGES: Final = 64
_BYTES: Final = 8 * 1024 * 1024
"""A transaction takes at most so many messages, and no more of them once they are so many bytes: the rows of all its
records are in memory at once, and what is behind the log gains from few and large ones."""
_FEW: Final = 7
"""More messages than this wait for no further ones."""
_TRIES: Final = 5
_SILENT_S: Final = 15.0
"""A piece of work in the ledger's thread that takes longer than this is told."""
_WATCH_S: Final = 5.0
_PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_UNACCEPTABLE: Final = (RowsRefused, ValueError, TypeError, OverflowError, RecursionError)
"""What a message does to the database when the message is at fault, not the database."""

log = structlog.get_logger("metrics.consumer")

_Folded = tuple[Sequence[Recorded], Batch | None]
"""Messages and what they say; None: something in them is worse than what is known to be wrong."""

Bury = Callable[[str, Recorded, str], Awaitable[object]]


class Consumer:
    """Follows ``LR_USAGE`` into the ledger. All work on the file is done in one thread, never on the event loop."""

    def __init__(
        self,
        settings: MetricsSettings,
        *,
        log: EventLog,
        writer: Callable[[], Writer],
        fold: Callable[[Sequence[Recorded]], Batch],
        bury: Bury,
        warm: Callable[[Writer], None],
        applied: Callable[[Added], None],
    ) -> None:
        """``writer`` opens the ledger, once its tables are there; ``bury`` sets a message aside for people.

        In the ledger's thread ``warm`` looks at what is there at the start, and ``applied`` hears what is new.
        """
        self._settings = settings
        self._log = log
        self._make_writer = writer
        self._fold = fold
        self._bury = bury
        self._warm = warm
        self._applied = applied
        self._gate = asyncio.Lock()
        self._working_since: float | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._folding = ThreadPoolExecutor(1, thread_name_prefix="fold")
        self._writer: Writer | None = None
        self._task: asyncio.Task[None] | None = None
        self._problem: str | None = "the ledger is not open yet"
        self._refused = False
        # whose turn at the interpreter it is: set while the ledger's thread leaves it to the folding one
        self._turn = asyncio.Event()
        self._turn.set()
        self._checkpoint = Checkpoint("", 0)
        self._end: int | None = None

    @property
    def counts(self) -> dict[tuple[str, ...], int]:
        """A copy of what was counted so far, by series."""
        return {} if self._writer is None else dict(self._writer.counters.counts)

    @property
    def sequence(self) -> int:
        """The last message of the log that is in the ledger."""
        return self._checkpoint.sequence

    async def start(self) -> None:
        """Make or migrate the tables, open the ledger, begin to follow; a database that does not answer is waited for
        meanwhile. Raises StartRefused."""
        try:
            await self._ready()
        except LedgerUnavailable as error:
            self._problem = str(error)
        self._task = asyncio.create_task(self._run(), name="ledger consumer")

    async def stop(self) -> None:
        """End after the transaction that is running."""
        if self._task is not None:
            self._task.cancel()
            # whatever the task ended of was told by not_ready; the file is closed all the same
            await asyncio.gather(self._task, return_exceptions=True)
        if self._writer is not None:
            await self.in_thread(self._writer.close)
        self._thread.shutdown()
        self._folding.shutdown()

    def not_ready(self) -> list[str]:
        """Return why the ledger does not keep up with the log; empty: it does."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            failure = self._task.exception()
            if failure is not None:
                return [f"the ledger stopped: {_first(failure)!r}"]
        if self._problem is not None:
            return [self._problem]
        if self._working_since is not None and (silent_s := time.monotonic() - self._working_since) > _SILENT_S:
            return [f"the ledger's database has not answered for {silent_s:.0f} s"]
        return [] if self._log.connected() else ["the event log does not answer"]

    def lag(self) -> int | None:
        """Return how many messages the ledger is behind the log as last seen; None: the log does not answer."""
        if self._end is None or not self._log.connected():
            return None
        return max(0, self._end - self.sequence)

    async def look(self) -> None:
        """See where the log ends now, rather than in some seconds."""
        try:
            self._end = (await self._log.position(LR_USAGE)).sequence
        except LogError:
            self._end = None

    async def _ready(self) -> Writer:
        """Return the writer, once its tables are there. Raises StartRefused, LedgerUnavailable."""
        # looked at again after each fault: a database may come back as an older one
        await migrate(self._settings.database)
        if self._writer is None:
            self._writer = await self.in_thread(self._open)
            self._problem = "the usage log is not being read yet"
        return self._writer

    def _open(self) -> Writer:
        writer = self._make_writer()
        try:
            writer.open()
            self._warm(writer)
        except BaseException:
            writer.close()
            raise
        return writer

    async def _run(self) -> None:
        failures = 0
        while not self._refused:
            began = self.sequence
            try:
                await self._follow(await self._ready())
            except* LogDamaged as group:
                self._refused = True
                self._problem = f"the ledger does not go on: {_first(group)}"
            except* LogError as group:
                self._problem = f"the event log does not answer: {_first(group)}"
            except* LedgerUnavailable as group:
                self._problem = str(_first(group))
            except* StartRefused as group:
                self._refused = True
                self._problem = str(_first(group))
            log.error("ledger stands still", reason=self._problem, final=self._refused)
            failures = 1 if self.sequence > began else failures + 1
            if not self._refused:
                await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S)) - 1])

    async def _follow(self, writer: Writer) -> None:
        """Project until something is in the way, which is raised in a group."""
        async with asyncio.TaskGroup() as group:
            async with self._gate:
                checkpoint = await self.in_thread(writer.open)
            position = await self._log.position(LR_USAGE)
            if checkpoint is not None:
                _compare(checkpoint, position)
            self._checkpoint = checkpoint or Checkpoint(position.identity, 0)
            self._end = position.sequence
            self._problem = None
            waiting: asyncio.Queue[Recorded] = asyncio.Queue(_MESSAGES)
            group.create_task(self._read(waiting, self._checkpoint.sequence))
            group.create_task(self._write(writer, waiting, group))
            group.create_task(self._watch())

    async def _read(self, waiting: asyncio.Queue[Recorded], after: int) -> None:
        last = after
        async with contextlib.aclosing(self._log.follow(LR_USAGE, after=after)) as messages:
            async for recorded in messages:
                if recorded.sequence > last + 1:
                    if last:
                        raise LogDamaged(f"{LR_USAGE} lacks messages {last + 1} to {recorded.sequence - 1}")
                    log.warning("the usage log does not begin at its beginning", first=recorded.sequence)
                last = max(last, recorded.sequence)
                await waiting.put(recorded)

    async def _write(self, writer: Writer, waiting: asyncio.Queue[Recorded], group: asyncio.TaskGroup) -> None:
        coming = group.create_task(self._gather(waiting, apart_from=0.0))
        while True:
            messages, batch = await coming
            coming = group.create_task(self._gather(waiting, apart_from=asyncio.get_running_loop().time()))
            self._turn.clear()
            try:
                async with self._gate:
                    await self._apply(writer, messages, batch)
            finally:
                self._turn.set()

    async def _gather(self, waiting: asyncio.Queue[Recorded], *, apart_from: float) -> _Folded:
        # A transaction costs milliseconds whatever it holds, and its thread keeps the loop from the interpreter: so
        # under load there are few, and a message after a pause waits for nothing.
        loop = asyncio.get_running_loop()
        messages = [await waiting.get()]
        while waiting.qsize() < _FEW and (left := apart_from + _APART_S - loop.time()) > 0:  # noqa: ASYNC110  bounded
            await asyncio.sleep(min(left, _LOOK_S))
        size = len(messages[0].raw)
        while len(messages) < _MESSAGES and size < _BYTES and not waiting.empty():
            messages.append(waiting.get_nowait())
            size += len(messages[-1].raw)
        await self._turn.wait()
        try:
            return messages, await loop.run_in_executor(self._folding, self._fold, messages)
        except _UNACCEPTABLE:
            return messages, None

    @contextlib.asynccontextmanager
    async def still(self) -> AsyncGenerator[Writer, None]:
        """Hold the ledger still, and give its writer, to be used in its thread; raises LedgerUnavailable."""
        async with self._gate:
            if self._writer is None or self._problem is not None:
                raise LedgerUnavailable(self._problem or "the ledger is not open")
            yield self._writer

    async def take_again(self, message: Recorded) -> Replayed:
        """Take a message that was set aside, if it reads now. Raises LedgerUnavailable, and what its rows do to a
        database that still refuses them."""
        async with self.still() as writer:
            return await self.in_thread(lambda: self._heal(writer, message))

    def _heal(self, writer: Writer, message: Recorded) -> Replayed:
        prepared = writer.prepare(self._fold([message]), again=True)
        if prepared.broken:
            return Replayed(reason=prepared.broken[message.sequence])
        self._commit(writer, replace(prepared, healed=message.sequence))
        return Replayed(len(prepared.fresh.entries))

    async def _watch(self) -> None:
        """Notice a log that went backwards while nothing new arrives, and how far it goes."""
        while True:
            await asyncio.sleep(_WATCH_S)
            before = self._checkpoint
            position = await self._log.position(LR_USAGE)
            _compare(before, position)
            self._end = position.sequence

    async def _apply(self, writer: Writer, messages: Sequence[Recorded], batch: Batch | None) -> None:
        try:
            await self._take(writer, messages, batch)
        except _UNACCEPTABLE as error:
            if len(messages) == 1:
                await self._try_again(writer, messages[0], error)
                return
            for message in messages:
                await self._apply(writer, [message], None)

    async def _try_again(self, writer: Writer, message: Recorded, error: Exception) -> None:
        for _ in range(_TRIES - 1):
            try:
                await self._take(writer, [message], None)
            except _UNACCEPTABLE as again:
                error = again
            else:
                return
        broken = {message.sequence: f"the ledger does not take it: {error}"}
        await self._take(writer, [message], Batch(broken=broken, sequence=message.sequence))

    async def _take(self, writer: Writer, messages: Sequence[Recorded], batch: Batch | None) -> None:
        prepared = await self.in_thread(lambda: writer.prepare(self._fold(messages) if batch is None else batch))
        # Bury first, commit second: a crash in between buries again, under the same message id, and loses nothing.
        for message in messages:
            reason = prepared.broken.get(message.sequence)
            if reason is not None:
                log.error("usage message set aside", sequence=message.sequence, reason=reason)
                await self._bury(CONSUMER, message, reason)
        # what comes next is read while the database is at work: earlier, two threads would only wait for each other
        loop = asyncio.get_running_loop()
        await self.in_thread(lambda: self._commit(writer, prepared, lambda: loop.call_soon_threadsafe(self._turn.set)))
        self._checkpoint = Checkpoint(self._checkpoint.identity, max(self.sequence, prepared.sequence))

    def _commit(self, writer: Writer, prepared: Prepared, waits: Callable[[], object] = lambda: None) -> None:
        writer.commit(prepared, self._checkpoint.identity, waits=waits)
        self._applied(prepared.fresh)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do something in the ledger's thread, where nothing else of it happens meanwhile."""

        def timed() -> T:
            self._working_since = time.monotonic()
            try:
                return work()
            finally:
                self._working_since = None

        return await asyncio.get_running_loop().run_in_executor(self._thread, timed)


def _compare(checkpoint: Checkpoint, position: Position) -> None:
    """Raise LogDamaged where the log cannot be the one that the ledger was made from."""
    if checkpoint.identity != position.identity:
        raise LogDamaged(
            f"{LR_USAGE} was made anew since the ledger was written from it (stream {position.identity}, not"
            f" {checkpoint.identity}): restore the log, or rebuild the ledger"
        )
    if position.sequence < checkpoint.sequence:
        raise LogDamaged(
            f"{LR_USAGE} ends at {position.sequence}, but the ledger holds it up to {checkpoint.sequence}: an older"
            " log was restored"
        )


def _first(error: BaseException) -> BaseException:
    """Return the cause at the bottom of a group, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        return _first(error.exceptions[0])  # pyright: ignore[reportUnknownArgumentType]  isinstance knows not of what
    return error
