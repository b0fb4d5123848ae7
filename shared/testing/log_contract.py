"""What every EventLog must do; each implementation supplies the fixture ``log`` with an empty one."""
# ruff: noqa: D102  a test's name is its sentence

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import msgspec

from shared.contracts.config import KeyDisabled, KeyEnabled
from shared.contracts.envelope import Event, EventData, encode_event, type_of
from shared.kernel.errors import Conflict
from shared.log.port import LR_CONFIG, LR_USAGE, PLANS, Append, Bucket, Entry, EventLog
from shared.runtime.clock import SYSTEM_CLOCK, new_id

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

LIMIT_S = 10.0
"""How long anything may take here."""


def envelope(data: EventData) -> Event:
    """Return an event around ``data``."""
    name, version = type_of(data)
    return Event(
        id=new_id(), type=name, version=version, source="test", subject="key/k", time=SYSTEM_CLOCK.now(), data=data
    )


def enabled(key: str = "k") -> Event:
    """Return an event that says nothing much."""
    return envelope(KeyEnabled(key_id=key))


def disabled(key: str = "k") -> Event:
    """Return another one."""
    return envelope(KeyDisabled(key_id=key))


def subject(key: str) -> str:
    """Return where a key's events are."""
    return f"lr.config.key.{key}"


async def take(source: AsyncGenerator[T, None], count: int) -> list[T]:
    """Return the next ``count`` items, in time."""
    async with asyncio.timeout(LIMIT_S):
        return [await anext(source) for _ in range(count)]


async def failure_of(kind: type[E], awaited: Awaitable[object]) -> E:
    """Return the error that something must end with."""
    try:
        await awaited
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


async def until(condition: Callable[[], bool]) -> None:
    """Return when ``condition`` holds; raises TimeoutError."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110  what is waited for does not know of it
            await asyncio.sleep(0.005)


async def sequences(log: EventLog, pattern: str = "", after: int = 0) -> list[int]:
    """Return the sequences that a read of the configuration gives."""
    return [item.sequence async for item in log.read(LR_CONFIG, pattern, after=after)]


async def conflicts(log: EventLog, *writes: Append) -> bool:
    """Whether an append loses."""
    try:
        await log.append(*writes)
    except Conflict:
        return True
    return False


class AppendContract:
    """Appending: expected versions, atomic batches, repeats."""

    async def test_an_event_is_read_back_as_it_was_written(self, log: EventLog) -> None:
        event = enabled()
        assert await log.append(Append(subject("k"), [event], 0)) == [1]
        [recorded] = [item async for item in log.read(LR_CONFIG)]
        assert (recorded.stream, recorded.subject, recorded.sequence) == (LR_CONFIG, subject("k"), 1)
        assert recorded.event == event
        assert recorded.raw == encode_event(event)

    async def test_the_version_that_was_read_is_expected(self, log: EventLog) -> None:
        await log.append(Append(subject("a"), [enabled()], 0))
        await log.append(Append(subject("b"), [enabled()], 0))
        assert await log.append(Append(subject("a"), [enabled()], 1)) == [3]
        assert await conflicts(log, Append(subject("a"), [enabled()], 1))
        assert await conflicts(log, Append(subject("a"), [enabled()], 0))
        assert await conflicts(log, Append(subject("new"), [enabled()], 7))
        assert await sequences(log) == [1, 2, 3]

    async def test_without_an_expectation_the_last_one_wins(self, log: EventLog) -> None:
        await log.append(Append(subject("a"), [enabled()], None))
        assert await log.append(Append(subject("a"), [enabled()], None)) == [2]

    async def test_several_aggregates_change_in_one_step(self, log: EventLog) -> None:
        await log.append(Append(subject("a"), [enabled()], 0))
        ends = await log.append(
            Append(subject("a"), [enabled(), enabled()], 1),
            Append(subject("b"), [enabled()], 0),
            Append("lr.config.name.key.n", [enabled(), enabled(), enabled()], None),
        )
        assert ends == [3, 4, 7]
        assert await sequences(log, subject("a")) == [1, 2, 3]
        assert await sequences(log, subject("b")) == [4]

    async def test_one_conflict_rejects_the_whole_batch(self, log: EventLog) -> None:
        await log.append(Append(subject("b"), [enabled()], 0))
        for writes in (
            [Append(subject("a"), [enabled()], 0), Append(subject("b"), [enabled()], 0)],
            [Append(subject("b"), [enabled()], 0), Append(subject("a"), [enabled()], 0)],
            [Append(subject("b"), [enabled(), enabled()], 9)],
        ):
            assert await conflicts(log, *writes)
        assert await sequences(log) == [1]

    async def test_an_append_that_landed_may_be_tried_again(self, log: EventLog) -> None:
        single = Append(subject("a"), [enabled()], 0)
        batch = [Append(subject("a"), [enabled(), enabled()], 1), Append(subject("b"), [enabled()], 0)]
        for _ in range(2):
            assert await log.append(single) == [1]
        await log.append(Append(subject("z"), [enabled()], 0))
        for _ in range(2):
            assert await log.append(*batch) == [4, 5]
        assert await sequences(log) == [1, 2, 3, 4, 5]

    async def test_a_repeat_with_one_new_event_is_a_conflict(self, log: EventLog) -> None:
        first = enabled()
        await log.append(Append(subject("a"), [first], 0))
        assert await conflicts(log, Append(subject("a"), [first, enabled()], 0))
        assert await sequences(log) == [1]

    async def test_a_batch_has_a_largest_size(self, log: EventLog) -> None:
        assert await log.append(Append(subject("a"), [enabled() for _ in range(1_000)], 0)) == [1_000]
        for writes in (
            [Append(subject("b"), [enabled() for _ in range(1_001)], 0)],
            [Append(subject("b"), [], 0)],
            [Append(subject("b"), [enabled()], 0), Append(subject("b"), [enabled()], 0)],
            [Append(subject("b"), [enabled()], 0), Append("lr.facts.plan.x", [enabled()], 0)],
            [],
        ):
            await failure_of(ValueError, log.append(*writes))
        assert (await log.position(LR_CONFIG)).sequence == 1_000

    async def test_of_writers_at_once_one_wins(self, log: EventLog) -> None:
        lost = await asyncio.gather(*(conflicts(log, Append(subject("a"), [enabled()], 0)) for _ in range(10)))
        assert sorted(lost) == [False] + [True] * 9
        lost = await asyncio.gather(
            *(
                conflicts(log, Append(subject(f"x{n}"), [enabled()], 0), Append(subject("shared"), [enabled()], 0))
                for n in range(10)
            )
        )
        assert sorted(lost) == [False] + [True] * 9
        assert await sequences(log) == [1, 2, 3]


class ReadContract:
    """Reading, following, publishing."""

    async def test_reading_nothing_gives_nothing(self, log: EventLog) -> None:
        assert await sequences(log) == []
        await log.append(Append(subject("a"), [enabled()], 0))
        assert await sequences(log, subject("nobody")) == []
        assert await sequences(log, after=1) == []
        assert await sequences(log, after=99) == []

    async def test_a_pattern_picks_subjects(self, log: EventLog) -> None:
        for name in ("lr.config.key.a", "lr.config.router.a", "lr.config.name.key.a", "lr.config.key.b"):
            await log.append(Append(name, [enabled()], 0))
        assert await sequences(log, "lr.config.key.*") == [1, 4]
        assert await sequences(log, "lr.config.*.a") == [1, 2]
        assert await sequences(log, "lr.config.name.>") == [3]
        assert await sequences(log, "lr.config.key.*", after=1) == [4]

    async def test_a_long_stream_is_read_whole(self, log: EventLog) -> None:
        await log.append(Append(subject("a"), [enabled() for _ in range(700)], 0))
        await log.append(Append(subject("b"), [enabled() for _ in range(3)], 0))
        assert await sequences(log) == list(range(1, 704))
        assert await sequences(log, subject("a"), after=299) == list(range(300, 701))

    async def test_what_does_not_read_is_shown_as_broken(self, log: EventLog) -> None:
        for number, payload in enumerate((b"not json", b"", b'{"id":"1"}', b"\xff\x00")):
            await log.publish(subject("a"), payload, message_id=f"poison {number}")
        future = encode_event(enabled()).replace(b'"version":1', b'"version":99')
        unknown = encode_event(enabled()).replace(b"key.enabled", b"key.enchanted")
        for payload in (future, unknown):
            await log.publish(subject("a"), payload, message_id=payload.hex()[:60])
        found = [item async for item in log.read(LR_CONFIG)]
        assert [item.sequence for item in found] == [1, 2, 3, 4, 5, 6]
        assert all(item.event is None and item.broken is not None for item in found)
        assert found[4].raw == future

    async def test_a_follower_sees_everything_after_its_checkpoint(self, log: EventLog) -> None:
        for _ in range(3):
            await log.append(Append(subject("a"), [enabled()], None))
        async with contextlib.aclosing(log.follow(LR_CONFIG, after=1)) as follower:
            assert [item.sequence for item in await take(follower, 2)] == [2, 3]
            following = asyncio.create_task(take(follower, 2))
            await log.append(Append(subject("b"), [enabled(), enabled()], 0))
            assert [item.sequence for item in await following] == [4, 5]

    async def test_a_follower_of_a_pattern_sees_no_more(self, log: EventLog) -> None:
        async with contextlib.aclosing(log.follow(LR_CONFIG, "lr.config.key.>")) as follower:
            following = asyncio.create_task(take(follower, 2))
            for name in ("lr.config.router.a", "lr.config.key.a", "lr.config.name.a", "lr.config.key.b"):
                await log.append(Append(name, [enabled()], 0))
            assert [item.sequence for item in await following] == [2, 4]

    async def test_a_follower_that_is_far_behind_misses_nothing(self, log: EventLog) -> None:
        for _ in range(2):
            await log.append(Append(subject("a"), [enabled() for _ in range(600)], None))
        async with contextlib.aclosing(log.follow(LR_CONFIG)) as follower:
            assert [item.sequence for item in await take(follower, 1_200)] == list(range(1, 1_201))

    async def test_a_repeated_publish_is_stored_once(self, log: EventLog) -> None:
        first = await log.publish("lr.usage.g", b"one", message_id="0:0")
        assert await log.publish("lr.usage.g", b"one", message_id="0:0") == first
        assert await log.publish("lr.usage.g", b"two", message_id="0:9") == first + 1
        assert [item.raw async for item in log.read(LR_USAGE, "lr.usage.g")] == [b"one", b"two"]

    async def test_the_position_moves_and_the_identity_stays(self, log: EventLog) -> None:
        before = await log.position(LR_CONFIG)
        await log.append(Append(subject("a"), [enabled(), enabled()], 0))
        after = await log.position(LR_CONFIG)
        assert (before.sequence, after.sequence) == (0, 2)
        assert before.identity == after.identity != (await log.position(LR_USAGE)).identity


class BucketContract:
    """Buckets: latest state by key."""

    async def test_a_value_is_kept_replaced_and_purged(self, log: EventLog) -> None:
        bucket = log.bucket(PLANS)
        assert await bucket.get("a") is None
        first = await bucket.put("a", b"1")
        assert await bucket.get("a") == Entry("a", b"1", first)
        second = await bucket.put("a", b"")
        assert second > first
        assert await bucket.get("a") == Entry("a", b"", second)
        await bucket.purge("a")
        assert await bucket.get("a") is None
        assert await bucket.entries() == []
        await bucket.purge("a")

    async def test_only_the_revision_that_was_read_may_be_replaced(self, log: EventLog) -> None:
        bucket = log.bucket(PLANS)
        first = await bucket.put("a", b"1", expected=0)
        assert await loses(bucket, "a", 0)
        assert await loses(bucket, "a", first + 5)
        assert await loses(bucket, "b", first)
        second = await bucket.put("a", b"2", expected=first)
        assert await loses(bucket, "a", first)
        assert await bucket.get("a") == Entry("a", b"2", second)

    async def test_a_purged_key_counts_as_absent(self, log: EventLog) -> None:
        bucket = log.bucket(PLANS)
        first = await bucket.put("a", b"1", expected=0)
        await bucket.purge("a")
        assert await loses(bucket, "a", first)
        await bucket.put("a", b"2", expected=0)
        assert await loses(bucket, "a", 0)

    async def test_of_writers_at_once_one_wins(self, log: EventLog) -> None:
        bucket = log.bucket(PLANS)
        lost = await asyncio.gather(*(loses(bucket, "a", 0) for _ in range(10)))
        assert sorted(lost) == [False] + [True] * 9

    async def test_a_watcher_sees_what_is_there_and_then_every_change(self, log: EventLog) -> None:
        bucket = log.bucket(PLANS)
        await bucket.put("a", b"1")
        await bucket.put("b", b"1")
        await bucket.put("gone", b"1")
        await bucket.purge("gone")
        async with contextlib.aclosing(bucket.watch()) as watcher:
            seen = await take(watcher, 3)
            assert seen[2] is None
            assert sorted((entry.key, entry.value) for entry in seen[:2] if entry) == [("a", b"1"), ("b", b"1")]
            watching = asyncio.create_task(take(watcher, 2))
            await bucket.put("a", b"2")
            await bucket.purge("b")
            changes = [(entry.key, entry.value) for entry in await watching if entry]
            assert changes == [("a", b"2"), ("b", None)]

    async def test_a_watcher_of_an_empty_bucket_is_told_so(self, log: EventLog) -> None:
        bucket = log.bucket(PLANS)
        async with contextlib.aclosing(bucket.watch()) as watcher:
            assert await take(watcher, 1) == [None]
            watching = asyncio.create_task(take(watcher, 1))
            await bucket.put("a.b-c_1", b"1")
            [entry] = await watching
            assert entry is not None
            assert entry.key == "a.b-c_1"

    async def test_many_values_are_listed(self, log: EventLog) -> None:
        bucket = log.bucket(PLANS)
        for number in range(300):
            await bucket.put(f"k{number}", msgspec.json.encode(number))
        assert len(await bucket.entries()) == 300


async def loses(bucket: Bucket, key: str, expected: int) -> bool:
    """Whether a put loses."""
    try:
        await bucket.put(key, b"x", expected=expected)
    except Conflict:
        return True
    return False
