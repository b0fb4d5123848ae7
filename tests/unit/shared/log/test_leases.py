import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest

from shared.kernel.errors import LogUnavailable, OutcomeUnknown
from shared.log.leases import Lease
from shared.log.memory import MemoryBucket
from shared.log.port import Entry
from shared.runtime.clock import SYSTEM_CLOCK
from shared.testing.log_contract import until


class Unsteady(MemoryBucket):
    """A bucket that fails, or hangs, or writes and does not say so."""

    mood = "well"
    unsaid = 0

    async def put(self, key: str, value: bytes, *, expected: int | None = None) -> int:
        match self.mood:
            case "down":
                raise LogUnavailable("down")
            case "hanging":
                await asyncio.Event().wait()
            case "silent":
                await super().put(key, value, expected=expected)
                self.unsaid += 1
                raise OutcomeUnknown("silent")
        return await super().put(key, value, expected=expected)

    async def watch(self) -> AsyncGenerator[Entry | None, None]:
        yield None


class Clock:
    """Monotonic time that a test moves."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime.now(UTC)


def lease(bucket: MemoryBucket, holder: str = "a", ttl_s: float = 0.3, **more: object) -> Lease:
    return Lease(bucket, "probes", holder, clock=SYSTEM_CLOCK, ttl_s=ttl_s, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("mood", ["down", "hanging"])
async def test_a_holder_that_cannot_renew_stops_before_its_time_ends(mood: str) -> None:
    bucket = Unsteady()
    ends: list[float] = []
    holder = lease(bucket, lost=lambda: ends.append(SYSTEM_CLOCK.monotonic()))
    began = SYSTEM_CLOCK.monotonic()
    await holder.start()
    assert holder.held
    bucket.mood = mood
    await until(lambda: len(ends) == 1)
    assert not holder.held
    assert ends[0] - began < 0.3 + 0.2
    bucket.mood = "well"
    await until(lambda: holder.held)
    assert holder.epoch == 2
    await holder.stop()


async def test_a_renewal_without_an_answer_is_read_back() -> None:
    bucket = Unsteady()
    losses: list[bool] = []
    holder = lease(bucket, lost=lambda: losses.append(True))
    await holder.start()
    bucket.mood = "silent"
    await until(lambda: bucket.unsaid > 0)
    bucket.mood = "well"
    assert (holder.held, holder.epoch, losses) == (True, 1, [])
    await holder.stop()


async def test_holding_is_a_matter_of_the_monotonic_clock() -> None:
    clock = Clock()
    holder = Lease(MemoryBucket(), "probes", "a", clock=clock, ttl_s=10.0)
    await holder.start()
    clock.at += 8.9
    assert (holder.held, holder.epoch) == (True, 1)
    clock.at += 0.2
    assert (holder.held, holder.epoch) == (False, 0)
    await holder.stop()


async def test_a_value_that_does_not_read_is_nobodys_and_its_epoch_is_passed() -> None:
    bucket = MemoryBucket()
    for _ in range(5):
        await bucket.put("probes", b"scribble")
    holder = lease(bucket)
    await holder.start()
    assert holder.epoch == 6
    await holder.stop()
