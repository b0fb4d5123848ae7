"""Folds: state made from the log by applying every message in order, kept up to date while the service lives."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

import structlog

from shared.kernel.errors import ContractBroken, LogDamaged, OutcomeUnknown
from shared.log.port import Bucket, Entry, EventLog, Recorded
from shared.log.snapshots import Snapshot, SnapshotStore

log = structlog.get_logger("log")


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
    ) -> None:
        """``changed`` is called after every message applied once the fold has caught up."""
        self.fold = fold
        self.sequence = 0
        self._log = log
        self._snapshots = snapshots
        self._changed = changed
        self._identity = ""
        self._moved = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._saved = 0

    async def start(self) -> None:
        """Load the snapshot, read up to the present, then follow."""
        position = await self._log.position(self.fold.stream)
        self._identity = position.identity
        self._restore(position.sequence)
        async for recorded in self._log.read(self.fold.stream, self.fold.subject, after=self.sequence):
            self.fold.apply(recorded)
            self.sequence = recorded.sequence
        self.sequence = max(self.sequence, position.sequence)
        self._save()
        self._task = asyncio.create_task(self._follow(), name=f"fold {self.fold.name}")

    async def stop(self) -> None:
        """Stop following and leave a snapshot."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
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
        return []

    async def _follow(self) -> None:
        async for recorded in self._log.follow(self.fold.stream, self.fold.subject, after=self.sequence):
            self.fold.apply(recorded)
            async with self._moved:
                self.sequence = recorded.sequence
                self._moved.notify_all()
            if self._changed is not None:
                self._changed(recorded)

    def _restore(self, last: int) -> None:
        snapshot = self._snapshots.load(self.fold.name) if self._snapshots else None
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
        if self._snapshots is not None and self.sequence != self._saved:
            self._snapshots.save(self.fold.name, Snapshot(self._identity, self.sequence, self.fold.dump()))
            self._saved = self.sequence


class BucketWatcher:
    """Keeps a view of a bucket: ``apply`` sees every entry (value None: deleted)."""

    def __init__(self, bucket: Bucket, apply: Callable[[Entry], None]) -> None:
        self._bucket = bucket
        self._apply = apply
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def start(self) -> None:
        """Return when everything that is there was applied."""
        self._task = asyncio.create_task(self._watch(), name="bucket watcher")
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()

    def problems(self) -> list[str]:
        """Return why this view does not keep up; empty: it does."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            return [f"a bucket is not watched any more: {self._task.exception()}"]
        return []

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        async for entry in self._bucket.watch():
            if entry is None:
                self._ready.set()
            else:
                self._apply(entry)
