"""What leases, dead letters and secrets must do on any EventLog; a test class brings the fixture ``log``."""
# ruff: noqa: D102  a test's name is its sentence

import asyncio
import contextlib
import os
import time

from shared.kernel.errors import SealBroken
from shared.log.dead_letters import DeadLetters
from shared.log.leases import Lease
from shared.log.port import LEASES, SECRETS, EventLog, Recorded
from shared.log.secrets import SecretStore
from shared.runtime.clock import SYSTEM_CLOCK
from shared.testing.log_contract import LIMIT_S, failure_of, until


class PartsContract:
    """Leases, dead letters, secrets."""

    def lease(self, log: EventLog, holder: str, ttl_s: float = 0.4) -> Lease:
        """Return a lease on the same name for ``holder``."""
        return Lease(log.bucket(LEASES), "probes", holder, clock=SYSTEM_CLOCK, ttl_s=ttl_s)

    async def test_a_lease_has_one_holder_and_is_kept(self, log: EventLog) -> None:
        first, second = self.lease(log, "a"), self.lease(log, "b")
        await first.start()
        await second.start()
        assert (first.held, first.epoch, second.held, second.epoch) == (True, 1, False, 0)
        revision = await self._revision(log)
        async with asyncio.timeout(LIMIT_S):
            while await self._revision(log) < revision + 4:
                assert not second.held
                await asyncio.sleep(0.01)
        assert first.epoch == 1
        await first.stop()
        await second.stop()

    async def test_a_released_lease_is_free_at_once(self, log: EventLog) -> None:
        first, second = self.lease(log, "a", 60.0), self.lease(log, "b", 60.0)
        await first.start()
        await first.stop()
        assert not first.held
        await second.start()
        assert (second.held, second.epoch) == (True, 2)
        await second.stop()

    async def test_a_dead_holder_is_followed_after_its_time_with_a_higher_epoch(self, log: EventLog) -> None:
        gone = self.lease(log, "a")
        gains: list[int] = []
        await gone.start()
        await self._die(gone)
        began = time.monotonic()
        next_one = Lease(log.bucket(LEASES), "probes", "b", clock=SYSTEM_CLOCK, ttl_s=0.4, gained=gains.append)
        await next_one.start()
        await until(lambda: next_one.held)
        assert time.monotonic() - began >= 0.4
        assert not gone.held
        assert (next_one.epoch, gains) == (2, [2])
        await next_one.stop()

    async def test_a_restarted_holder_takes_its_own_lease_at_once(self, log: EventLog) -> None:
        killed, again = self.lease(log, "a", 60.0), self.lease(log, "a", 60.0)
        await killed.start()
        await self._die(killed)
        await again.start()
        assert (again.held, again.epoch) == (True, 2)
        await again.stop()

    async def test_a_holder_that_was_replaced_notices(self, log: EventLog) -> None:
        losses: list[bool] = []
        lease = Lease(
            log.bucket(LEASES), "probes", "a", clock=SYSTEM_CLOCK, ttl_s=0.4, lost=lambda: losses.append(True)
        )
        await lease.start()
        await log.bucket(LEASES).put("probes", b'{"holder":"b","epoch":7,"ttl_s":60}')
        await until(lambda: losses == [True])
        assert (lease.held, lease.epoch) == (False, 0)
        await lease.stop()
        entry = await log.bucket(LEASES).get("probes")
        assert entry is not None
        assert entry.value == b'{"holder":"b","epoch":7,"ttl_s":60}'

    async def test_of_many_contenders_one_holds(self, log: EventLog) -> None:
        leases = [self.lease(log, f"h{n}", 60.0) for n in range(8)]
        await asyncio.gather(*(lease.start() for lease in leases))
        assert [lease.epoch for lease in leases if lease.held] == [1]
        await asyncio.gather(*(lease.stop() for lease in leases))

    async def _revision(self, log: EventLog) -> int:
        entry = await log.bucket(LEASES).get("probes")
        return entry.revision if entry else 0

    async def _die(self, lease: Lease) -> None:
        task = lease._task  # noqa: SLF001  a crash is nothing that the public face offers  # pyright: ignore[reportPrivateUsage]
        assert task is not None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def test_a_dead_letter_keeps_bytes_origin_and_reason(self, log: EventLog) -> None:
        letters = DeadLetters(log)
        raw = b"\x00 not json \n at all \xff"
        await log.publish("lr.usage.g", raw, message_id="1")
        [recorded] = [item async for item in log.read("LR_USAGE")]
        for _ in range(2):
            await letters.put("ledger", recorded, "not json")
        await letters.put("rollups", recorded, "not json either")
        [letter] = [item async for item in letters.list("ledger")]
        assert (letter.consumer, letter.reason) == ("ledger", "not json")
        assert (letter.stream, letter.subject, letter.sequence) == ("LR_USAGE", "lr.usage.g", 1)
        assert (letter.raw, letter.size) == (raw, len(raw))
        assert len([item async for item in letters.list()]) == 2

    async def test_a_huge_dead_letter_is_cut(self, log: EventLog) -> None:
        huge = Recorded("LR_USAGE", "lr.usage.g", 9, os.urandom(3_000_000))
        letters = DeadLetters(log)
        await letters.put("ledger", huge, "huge")
        [letter] = [item async for item in letters.list("ledger")]
        assert letter.size == 3_000_000
        assert huge.raw.startswith(letter.raw)
        assert len(letter.raw) >= 500_000

    async def test_a_secret_opens_for_its_context_under_its_master_key_only(self, log: EventLog) -> None:
        bucket, master = log.bucket(SECRETS), os.urandom(32)
        store = SecretStore(bucket, master)
        await store.put("s1", b"sk-canary", context="provider/1")
        assert await store.get("s1", context="provider/1") == b"sk-canary"
        entry = await bucket.get("s1")
        assert entry is not None
        assert entry.value is not None
        assert b"canary" not in entry.value
        for broken, context in ((store, "provider/2"), (SecretStore(bucket, os.urandom(32)), "provider/1")):
            error = await failure_of(SealBroken, broken.get("s1", context=context))
            assert error.other_master is (broken is not store)
        await store.purge("s1")
        await failure_of(KeyError, store.get("s1", context="provider/1"))

    async def test_a_secret_whose_bytes_are_none_does_not_open(self, log: EventLog) -> None:
        bucket = log.bucket(SECRETS)
        store = SecretStore(bucket, os.urandom(32))
        for raw in (b"", b"{}", b'{"ciphertext":"","nonce":"","wrapped_key":"","wrap_nonce":"","master_id":""}'):
            await bucket.put("s1", raw)
            await failure_of(SealBroken, store.get("s1", context="provider/1"))
