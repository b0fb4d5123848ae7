"""What folds, their snapshots and bucket watchers must do on any EventLog; a test class brings the fixture ``log``."""
# ruff: noqa: D102  a test's name is its sentence

import tempfile
from pathlib import Path

import msgspec

from shared.kernel.errors import ContractBroken, LogDamaged
from shared.log.folds import BucketWatcher, FoldRunner
from shared.log.port import CATALOG, LR_CONFIG, Append, Entry, EventLog, Recorded
from shared.log.snapshots import Snapshot, SnapshotStore
from shared.testing.log_contract import disabled, enabled, failure_of, subject, until


class History:
    """A fold that keeps what it saw, and which aggregates are broken."""

    name = "history"
    stream = LR_CONFIG
    subject = "lr.config.key.>"

    def __init__(self) -> None:
        self.seen: list[tuple[int, str]] = []
        self.frozen: set[str] = set()
        self.loads = 0

    def apply(self, recorded: Recorded) -> None:
        """Take one message."""
        if recorded.broken is not None:
            self.frozen.add(recorded.subject)
        elif recorded.event is not None:
            self.seen.append((recorded.sequence, recorded.event.id))

    def dump(self) -> bytes:
        """Return the whole state."""
        return msgspec.json.encode((self.seen, sorted(self.frozen)))

    def load(self, raw: bytes) -> None:
        """Replace the state."""
        self.loads += 1
        try:
            self.seen, frozen = msgspec.json.decode(raw, type=tuple[list[tuple[int, str]], list[str]])
        except msgspec.DecodeError as error:
            raise ContractBroken(str(error)) from error
        self.frozen = set(frozen)


class FoldContract:
    """Folds and their snapshots."""

    async def test_a_snapshot_and_the_rest_make_the_same_state_at_any_cut(self, log: EventLog) -> None:
        for number in range(12):
            await log.append(Append(subject(str(number % 3)), [enabled()], None))
        whole = History()
        async for recorded in log.read(LR_CONFIG, whole.subject):
            whole.apply(recorded)
        identity = (await log.position(LR_CONFIG)).identity
        for cut in range(13):
            part = History()
            async for recorded in log.read(LR_CONFIG, part.subject):
                if recorded.sequence <= cut:
                    part.apply(recorded)
            with tempfile.TemporaryDirectory() as folder:
                store = SnapshotStore(Path(folder))
                store.save("history", Snapshot(identity, cut, part.dump()))
                resumed = History()
                runner = FoldRunner(log, resumed, snapshots=store)
                await runner.start()
                await runner.stop()
                assert resumed.loads == 1
                assert resumed.dump() == whole.dump()

    async def test_a_writer_reads_its_own_write(self, log: EventLog) -> None:
        history = History()
        changes: list[int] = []
        runner = FoldRunner(log, history, changed=lambda recorded: changes.append(recorded.sequence))
        assert runner.problems()
        await runner.start()
        try:
            for number in range(5):
                await log.append(Append("lr.config.router.other", [enabled()], None))
                [sequence] = await log.append(Append(subject(str(number)), [disabled()], 0))
                await runner.reached(sequence)
                assert history.seen[-1][0] == sequence
            assert runner.problems() == []
            await until(lambda: changes == [2, 4, 6, 8, 10])
        finally:
            await runner.stop()

    async def test_a_snapshot_that_cannot_be_trusted_is_dropped(self, log: EventLog) -> None:
        await log.append(Append(subject("a"), [enabled(), enabled()], 0))
        identity = (await log.position(LR_CONFIG)).identity
        with tempfile.TemporaryDirectory() as folder:
            store = SnapshotStore(Path(folder))
            path = Path(folder) / "history.snapshot"
            store.save("history", Snapshot(identity, 2, b'[[[1,"x"],[2,"y"]],[]]'))
            good = path.read_bytes()
            damaged = [good[:cut] for cut in (0, 7, 39, 41, len(good) - 1)]
            damaged += [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(0, len(good), 7)]
            damaged.append(b"LRSNAP99" + good[8:])
            for raw in damaged:
                path.write_bytes(raw)
                await self._folds_two(log, store)
            for snapshot in (Snapshot("another log", 2, b"[[],[]]"), Snapshot(identity, 2, b"{}")):
                store.save("history", snapshot)
                await self._folds_two(log, store)

    async def _folds_two(self, log: EventLog, store: SnapshotStore) -> None:
        history = History()
        runner = FoldRunner(log, history, snapshots=store)
        await runner.start()
        await runner.stop()
        assert [sequence for sequence, _ in history.seen] == [1, 2]
        assert history.seen[0][1] != "x"

    async def test_a_log_that_went_backwards_is_not_folded(self, log: EventLog) -> None:
        await log.append(Append(subject("a"), [enabled()], 0))
        identity = (await log.position(LR_CONFIG)).identity
        with tempfile.TemporaryDirectory() as folder:
            store = SnapshotStore(Path(folder))
            store.save("history", Snapshot(identity, 2, b"[[],[]]"))
            await failure_of(LogDamaged, FoldRunner(log, History(), snapshots=store).start())

    async def test_a_poison_event_reaches_the_fold_as_broken(self, log: EventLog) -> None:
        await log.append(Append(subject("a"), [enabled()], 0))
        await log.publish(subject("a"), b"poison", message_id="poison")
        history = History()
        runner = FoldRunner(log, history)
        await runner.start()
        await log.publish(subject("b"), b"poison", message_id="poison too")
        await until(lambda: history.frozen == {subject("a"), subject("b")})
        await runner.stop()
        assert len(history.seen) == 1

    async def test_a_bucket_watcher_has_everything_when_it_started(self, log: EventLog) -> None:
        bucket = log.bucket(CATALOG)
        for number in range(10):
            await bucket.put(f"p{number}", b"models")
        there: dict[str, Entry] = {}
        watcher = BucketWatcher(bucket, lambda entry: there.update({entry.key: entry}))
        await watcher.start()
        assert len(there) == 10
        await bucket.purge("p0")
        await until(lambda: there["p0"].value is None)
        await watcher.stop()
