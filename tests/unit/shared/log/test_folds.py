"""Folds that start while the log does not answer."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from shared.kernel.errors import LogUnavailable
from shared.log import folds
from shared.log.folds import BucketWatcher, FoldRunner
from shared.log.memory import MemoryLog
from shared.log.port import PLANS, Append, Bucket, Entry, Position
from shared.log.snapshots import SnapshotStore
from shared.testing.folds_contract import History
from shared.testing.log_contract import enabled, subject


class AwayLog:
    """A log in memory that does not answer while it is away."""

    def __init__(self, log: MemoryLog) -> None:
        self.away = False
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def position(self, stream: str) -> Position:
        if self.away:
            raise LogUnavailable("nobody listens")
        return await self._log.position(stream)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "_RETRY_S", 0.01)


async def folded(log: Any, store: SnapshotStore, number: int = 3) -> History:
    for _ in range(number):
        await log.append(Append(subject("1"), [enabled()], None))
    runner = FoldRunner(log, history := History(), snapshots=store)
    await runner.start()
    await runner.stop()
    return history


async def test_a_snapshot_is_enough_to_begin_with_and_the_log_is_caught_up_with_when_it_answers(tmp_path: Path):
    log, store = AwayLog(MemoryLog()), SnapshotStore(tmp_path)
    before = await folded(log, store)
    log.away = True
    seen: list[int] = []
    runner = FoldRunner(log, history := History(), snapshots=store, changed=lambda item: seen.append(item.sequence))
    await runner.start()
    assert history.seen == before.seen
    assert "nobody listens" in runner.problems()[0]
    await log.append(Append(subject("1"), [enabled()], None))
    log.away = False
    await runner.reached(4)
    async with asyncio.timeout(5):
        while runner.problems():  # noqa: ASYNC110  nothing tells when a problem is gone
            await asyncio.sleep(0.001)
    assert len(history.seen) == 4
    assert seen == [4]
    await runner.stop()


async def test_without_a_snapshot_it_does_not_start_unless_it_may_begin_with_nothing(tmp_path: Path):
    log, store = AwayLog(MemoryLog()), SnapshotStore(tmp_path)
    log.away = True
    with pytest.raises(LogUnavailable):
        await FoldRunner(log, History(), snapshots=store).start()
    runner = FoldRunner(log, history := History(), snapshots=store, essential=False)
    await runner.start()
    await log.append(Append(subject("1"), [enabled()], None))
    log.away = False
    await runner.reached(1)
    assert len(history.seen) == 1
    await runner.stop()


async def test_a_log_that_turns_out_to_be_another_one_is_refused(tmp_path: Path):
    store = SnapshotStore(tmp_path)
    await folded(MemoryLog(), store)
    log = AwayLog(MemoryLog())
    log.away = True
    runner = FoldRunner(log, History(), snapshots=store)
    await runner.start()
    log.away = False
    async with asyncio.timeout(5):
        while "was folded up to" not in str(runner.problems()):  # noqa: ASYNC110  nothing tells of a new problem
            await asyncio.sleep(0.001)
    await runner.stop()


class AwayBucket:
    """A bucket that does not answer while it is away."""

    def __init__(self, bucket: Bucket) -> None:
        self.away = False
        self._bucket = bucket

    async def watch(self) -> AsyncGenerator[Entry | None, None]:
        if self.away:
            raise LogUnavailable("away")
        async for entry in self._bucket.watch():
            yield entry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bucket, name)


async def watched(bucket: Any, store: SnapshotStore) -> tuple[dict[str, bytes | None], BucketWatcher]:
    """A view of a bucket, started."""
    seen: dict[str, bytes | None] = {}
    watcher = BucketWatcher(bucket, lambda entry: seen.update({entry.key: entry.value}), snapshots=store)
    await watcher.start()
    return seen, watcher


async def test_a_view_of_a_bucket_begins_with_what_was_kept_and_takes_what_changed_meanwhile(tmp_path: Path):
    store = SnapshotStore(tmp_path)
    bucket = AwayBucket(MemoryLog().bucket(PLANS))
    for key in ("stays", "changes", "goes/away"):
        await bucket.put(key, b"1")
    _, watcher = await watched(bucket, store)
    await watcher.stop()
    await bucket.put("changes", b"2")
    await bucket.purge("goes/away")
    bucket.away = True
    seen, watcher = await watched(bucket, store)
    assert seen == {"stays": b"1", "changes": b"1", "goes/away": b"1"}
    assert watcher.problems() == ["a bucket is as it was last known: away"]
    bucket.away = False
    async with asyncio.timeout(5):
        while watcher.problems():  # noqa: ASYNC110  nothing tells when a problem is gone
            await asyncio.sleep(0.001)
    assert seen == {"stays": b"1", "changes": b"2", "goes/away": None}
    assert store.names() == ["changes", "stays"]
    await watcher.stop()


async def test_a_view_of_which_nothing_was_kept_does_not_begin_without_its_bucket(tmp_path: Path):
    bucket = AwayBucket(MemoryLog().bucket(PLANS))
    bucket.away = True
    with pytest.raises(LogUnavailable):
        await watched(bucket, SnapshotStore(tmp_path))


async def test_what_a_fold_has_heard_is_in_a_snapshot_soon_though_it_never_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(folds, "_SAVE_S", 0.01)
    log, store = MemoryLog(), SnapshotStore(tmp_path)
    runner = FoldRunner(log, History(), snapshots=store)
    await runner.start()
    await log.append(Append(subject("1"), [enabled()], None))
    async with asyncio.timeout(5):
        while (kept := store.load(History.name)) is None or kept.sequence != 1:  # noqa: ASYNC110  it is a file
            await asyncio.sleep(0.001)
    await runner.stop()
