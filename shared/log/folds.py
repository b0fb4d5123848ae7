"""Folds: state made from the log by applying every message in order, kept up to date while the service lives."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from shared.kernel.errors import ContractBroken, LogDamaged, LogUnavailable, OutcomeUnknown
from shared.log.port import Bucket, Entry, EventLog, Position, Recorded
from shared.log.snapshots import Snapshot, SnapshotStore

log = structlog.get_logger("log")

_RETRY_S: Final = 1.0
"""How often a log that did not answer at the start is asked again."""
_SAVE_S: Final = 1.0
"""How old a change may become before a snapshot holds it."""


class Fold(Protocol):
    """Pure state over one stream. ``dump`` and ``load`` make a snapshot of it and read one back."""

    @property
    def name(self) -> str:
        """Names the snapshot: unique within a service."""
        ...

    @property
    def stream(self) -> str:
        """The stream it folds."""
        ...

    @property
    def subject(self) -> str:
        """NATS pattern; empty: the whole stream."""
        ...

    def apply(self, recorded: Recorded) -> None:
        """Take one message. A message that does not read (``broken``) freezes its aggregate, it is not skipped."""
        ...

    def dump(self) -> bytes:
        """Return the whole state."""
        ...

    def load(self, raw: bytes) -> None:
        """Replace the state by a dumped one; raises ContractBroken, the state unchanged, when it does not read."""
        ...


class FoldRunner:
    """Keeps one fold at the end of its stream."""

    def __init__(
        self,
        log: EventLog,
        fold: Fold,
        *,
        snapshots: SnapshotStore | None = None,
        changed: Callable[[Recorded], None] | None = None,
        essential: bool = True,
    ) -> None:
        """``changed`` is called after every message applied once the fold has started. ``essential``: without the log
        and without a snapshot it cannot start."""
        self.fold = fold
        self.sequence = 0
        self._log = log
        self._snapshots = snapshots
        self._changed = changed
        self._identity = ""
        self._moved = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._saved = 0
        self._saving: asyncio.TimerHandle | None = None
        self._essential = essential
        self._behind: str | None = None

    async def start(self) -> None:
        """Load the snapshot, read up to the present, then follow.

        While the log does not answer, what the snapshot says is enough to begin with.
        """
        snapshot = self._snapshots.load(self.fold.name) if self._snapshots else None
        try:
            position = await self._log.position(self.fold.stream)
        except (LogUnavailable, OutcomeUnknown) as error:
            if snapshot is not None:
                self._identity = snapshot.identity
                self._restore(snapshot, snapshot.sequence)
            elif self._essential:
                raise
            self._behind = str(error)
        else:
            self._identity = position.identity
            self._restore(snapshot, position.sequence)
            await self._catch_up(position)
        self._task = asyncio.create_task(self._follow(), name=f"fold {self.fold.name}")

    async def stop(self) -> None:
        """Stop following and leave a snapshot."""
        if self._saving is not None:
            self._saving.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)  # what ended it was told by problems
            self._task = None
            self._save()

    async def reached(self, sequence: int, limit_s: float = 5.0) -> None:
        """Wait until the fold holds stream sequence ``sequence``: a writer reads its own write."""
        async with self._moved:
            try:
                await asyncio.wait_for(self._moved.wait_for(lambda: self.sequence >= sequence), limit_s)
            except TimeoutError as error:
                raise OutcomeUnknown(f"{self.fold.name} did not reach {sequence} in {limit_s} s") from error

    def problems(self) -> list[str]:
        """Return why this fold does not keep up; empty: it does."""
        if self._task is None:
            return [f"{self.fold.name} has not started"]
        if self._task.done() and not self._task.cancelled():
            return [f"{self.fold.name} stopped: {self._task.exception()}"]
        return [] if self._behind is None else [f"{self.fold.name} is as it was last known: {self._behind}"]

    async def _follow(self) -> None:
        while self._behind is not None:
            await asyncio.sleep(_RETRY_S)
            try:
                await self._catch_up(await self._log.position(self.fold.stream))
            except (LogUnavailable, OutcomeUnknown) as error:
                self._behind = str(error)
            else:
                self._behind = None
        async for recorded in self._log.follow(self.fold.stream, self.fold.subject, after=self.sequence):
            await self._take(recorded)

    async def _catch_up(self, position: Position) -> None:
        """Read up to the present; raises LogDamaged where the log is not the one that the state was folded from."""
        if not self._identity:
            self._identity = position.identity
        if self._identity != position.identity or position.sequence < self.sequence:
            raise LogDamaged(
                f"{self.fold.stream} ends at {position.sequence} of {position.identity}, but {self.fold.name} was"
                f" folded up to {self.sequence} of {self._identity}"
            )
        async for recorded in self._log.read(self.fold.stream, self.fold.subject, after=self.sequence):
            await self._take(recorded)
        async with self._moved:
            self.sequence = max(self.sequence, position.sequence)
            self._moved.notify_all()
        self._save()

    async def _take(self, recorded: Recorded) -> None:
        self.fold.apply(recorded)
        async with self._moved:
            self.sequence = recorded.sequence
            self._moved.notify_all()
        if self._task is None:
            return
        if self._changed is not None:
            self._changed(recorded)
        if self._snapshots is not None and self._saving is None:
            self._saving = asyncio.get_running_loop().call_later(_SAVE_S, self._save)

    def _restore(self, snapshot: Snapshot | None, last: int) -> None:
        if snapshot is None or snapshot.identity != self._identity:
            return
        if snapshot.sequence > last:
            raise LogDamaged(
                f"{self.fold.stream} ends at {last}, but {self.fold.name} was folded up to {snapshot.sequence}:"
                " an older store was restored"
            )
        try:
            self.fold.load(snapshot.state)
        except ContractBroken as error:
            log.warning("snapshot dropped, folding everything again", fold=self.fold.name, error=str(error))
            return
        self.sequence = self._saved = snapshot.sequence

    def _save(self) -> None:
        self._saving = None
        if self._snapshots is not None and self.sequence != self._saved:
            self._snapshots.save(self.fold.name, Snapshot(self._identity, self.sequence, self.fold.dump()))
            self._saved = self.sequence


class BucketWatcher:
    """Keeps a view of a bucket: ``apply`` sees every entry (value None: deleted)."""

    def __init__(
        self, bucket: Bucket, apply: Callable[[Entry], None], *, snapshots: SnapshotStore | None = None
    ) -> None:
        """``snapshots`` keep each entry as it comes: what they hold is enough to begin with while the log is away."""
        self._bucket = bucket
        self._apply = apply
        self._snapshots = snapshots
        self._kept: dict[str, int] = {}
        """The revisions of what the snapshots hold."""
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._behind: str | None = None

    async def start(self) -> None:
        """Return when everything that is there was applied, or what was there when the log was last seen."""
        self._restore()
        self._task = asyncio.create_task(self._run(), name="bucket watcher")
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()

    def problems(self) -> list[str]:
        """Return why this view does not keep up; empty: it does."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            return [f"a bucket is not watched any more: {self._task.exception()}"]
        return [] if self._behind is None else [f"a bucket is as it was last known: {self._behind}"]

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await self._watch()
            except (LogUnavailable, OutcomeUnknown) as error:
                if not self._kept and not self._ready.is_set():
                    raise
                self._behind = str(error)
                self._ready.set()
            await asyncio.sleep(_RETRY_S)

    async def _watch(self) -> None:
        seen: set[str] | None = set()
        async for entry in self._bucket.watch():
            if entry is not None:
                self._take(entry)
                if seen is not None:
                    seen.add(entry.key)
            elif seen is not None:
                for key in self._kept.keys() - seen:
                    self._take(Entry(key, None, 0))
                seen = None
                self._behind = None
                self._ready.set()

    def _take(self, entry: Entry) -> None:
        self._apply(entry)
        if self._snapshots is None:
            return
        if entry.value is None:
            self._kept.pop(entry.key, None)
            self._snapshots.remove(entry.key)
        elif self._kept.get(entry.key) != entry.revision:
            self._kept[entry.key] = entry.revision
            self._snapshots.save(entry.key, Snapshot("", entry.revision, entry.value))

    def _restore(self) -> None:
        if self._snapshots is None:
            return
        for name in self._snapshots.names():
            found = self._snapshots.load(name)
            if found is not None:
                self._kept[name] = found.sequence
                self._apply(Entry(name, found.state, found.sequence))
