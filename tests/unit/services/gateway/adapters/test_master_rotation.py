import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.gateway.adapters.master_rotation import MasterRotation, Rotated
from shared.kernel.errors import LogUnavailable, Refusal, SealBroken, StartRefused
from shared.kernel.secrets import key_id
from shared.log.memory import MemoryLog
from shared.log.port import LEASES, SECRETS, Bucket, Entry
from shared.log.secrets import SecretStore
from shared.runtime.clock import SYSTEM_CLOCK
from shared.runtime.master_key import MasterKeys, load_master_keys
from shared.runtime.store_key import open_store_key, rewrap_store_key


class Killed(BaseException):
    """The process ends here."""


class Fuse:
    """Kills at the n-th write, before or after it happened."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.left = at
        self._after = after

    def before(self) -> None:
        self.left -= 1
        if self.left == 0 and not self._after:
            raise Killed

    def after(self) -> None:
        if self.left == 0 and self._after:
            raise Killed


class FusedBucket:
    """A bucket whose writes blow a fuse."""

    def __init__(self, bucket: Bucket, fuse: Fuse) -> None:
        self._fuse = fuse
        self.get, self.purge, self.entries, self.watch = bucket.get, bucket.purge, bucket.entries, bucket.watch
        self._put = bucket.put

    async def put(self, key: str, value: bytes, *, expected: int | None = None) -> int:
        self._fuse.before()
        revision = await self._put(key, value, expected=expected)
        self._fuse.after()
        return revision


class House:
    """A data folder with a log, a store key and some secrets."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = MemoryLog()
        (home / "nats" / "store").mkdir(parents=True)
        self.keys = load_master_keys(home, {})
        self.store_key = self.open_store()
        self.reader = SecretStore(self.log.bucket(SECRETS), load_master_keys(home, {}))

    def open_store(self) -> str:
        sealing, *older = load_master_keys(self.home, {}).ring()
        return open_store_key(self.home / "nats", sealing, older=older)

    async def fill(self) -> None:
        for number in range(3):
            await self.reader.put(f"s{number}", f"value {number}".encode(), context=f"c{number}")

    async def all_readable(self) -> None:
        again = SecretStore(self.log.bucket(SECRETS), load_master_keys(self.home, {}))
        for store in (self.reader, again):
            for number in range(3):
                assert await store.get(f"s{number}", context=f"c{number}") == f"value {number}".encode()
        assert self.open_store() == self.store_key

    def rotation(self, keys: MasterKeys, fuse: Fuse | None = None) -> MasterRotation:
        bucket = self.log.bucket(SECRETS)

        def rewrap_more(ring: Sequence[bytes]) -> None:
            if fuse is not None:
                fuse.before()
            rewrap_store_key(self.home / "nats", ring)
            if fuse is not None:
                fuse.after()

        return MasterRotation(
            keys,
            bucket if fuse is None else FusedBucket(bucket, fuse),
            self.log.bucket(LEASES),
            holder="me",
            clock=SYSTEM_CLOCK,
            rewrap_more=rewrap_more,
        )


async def test_after_a_rotation_the_old_key_opens_nothing_and_all_is_readable(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.fill()
    old = house.keys.ring()[0]
    rotated = await house.rotation(house.keys).rotate()
    assert isinstance(rotated, Rotated)
    assert rotated.rewrapped == 3
    await house.all_readable()
    [new] = load_master_keys(tmp_path, {}).ring()
    assert key_id(new) == rotated.master_id
    assert new != old
    with pytest.raises(SealBroken, match="another master key"):
        await SecretStore(house.log.bucket(SECRETS), old).get("s0", context="c0")
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("after", [False, True])
async def test_killed_at_each_step_everything_is_readable_and_the_next_start_goes_on(
    tmp_path: Path, *, after: bool
) -> None:
    step = 0
    while True:
        step += 1
        house = House(tmp_path / f"{step}")
        await house.fill()
        fuse = Fuse(step, after=after)
        keys = _fused(house.home, fuse)
        try:
            await house.rotation(keys, fuse).rotate()
        except Killed:
            await house.all_readable()
            await house.reader.put("s1", b"value 1", context="c1")
        else:
            break
        resumed = load_master_keys(house.home, {})
        await _gone_on(house.rotation(resumed), resumed)
        await house.all_readable()
        assert len(load_master_keys(house.home, {}).ring()) == 1
    assert step > 6


async def _gone_on(rotation: MasterRotation, keys: MasterKeys) -> None:
    await rotation.start()
    async with asyncio.timeout(10):
        while len(keys.ring()) > 1:  # noqa: ASYNC110  a file tells nobody
            await asyncio.sleep(0.005)
    await rotation.stop()


def _fused(home: Path, fuse: Fuse) -> MasterKeys:
    keys = load_master_keys(home, {})
    plain = keys.keep

    async def keep(ring: Sequence[bytes], *, instead_of: Sequence[bytes]) -> None:
        fuse.before()
        await plain(ring, instead_of=instead_of)
        fuse.after()

    keys.keep = keep
    return keys


async def test_a_log_that_goes_away_leaves_the_rotation_open_and_the_next_one_ends_it(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.fill()
    rotation = house.rotation(house.keys)

    async def away() -> list[Entry]:
        raise LogUnavailable("away")

    bucket = house.log.bucket(SECRETS)
    entries, bucket.entries = bucket.entries, away
    with pytest.raises(LogUnavailable):
        await rotation.rotate()
    bucket.entries = entries
    assert len(house.keys.ring()) == 2
    await house.all_readable()
    assert isinstance(await rotation.rotate(), Rotated)
    assert len(house.keys.ring()) == 1
    await house.all_readable()


async def test_a_given_key_is_wrapped_anew_but_never_replaced(tmp_path: Path) -> None:
    old, new = os.urandom(32), os.urandom(32)
    log = MemoryLog()
    await SecretStore(log.bucket(SECRETS), old).put("s", b"x", context="c")

    def rotation(text: str) -> MasterRotation:
        keys = load_master_keys(tmp_path, {"LOCALROUTER_MASTER_KEY": text})
        return MasterRotation(keys, log.bucket(SECRETS), log.bucket(LEASES), holder="me", clock=SYSTEM_CLOCK)

    refused = await rotation(old.hex()).rotate()
    assert isinstance(refused, Refusal)
    assert "LOCALROUTER_MASTER_KEY" in refused.message
    rotated = await rotation(f"{new.hex()} {old.hex()}").rotate()
    assert isinstance(rotated, Rotated)
    assert rotated.rewrapped == 1
    assert await SecretStore(log.bucket(SECRETS), new).get("s", context="c") == b"x"


async def test_two_rotations_do_not_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.adapters.master_rotation._WAIT_S", 0.1)
    house = House(tmp_path)
    await house.log.bucket(LEASES).put("master-rotation", b'{"holder":"another","epoch":1,"ttl_s":10.0}')
    refused = await house.rotation(house.keys).rotate()
    assert isinstance(refused, Refusal)
    assert refused.code == "rotation_running"
    assert len(house.keys.ring()) == 1


async def test_one_that_was_killed_in_its_rotation_goes_on_at_once(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.log.bucket(LEASES).put("master-rotation", b'{"holder":"me","epoch":1,"ttl_s":10.0}')
    assert isinstance(await house.rotation(house.keys).rotate(), Rotated)


async def test_a_key_that_another_process_put_there_is_never_lost(tmp_path: Path) -> None:
    late = load_master_keys(tmp_path, {})
    before = late.ring()
    other = load_master_keys(tmp_path, {})
    await other.keep([os.urandom(32)], instead_of=before)
    with pytest.raises(StartRefused, match="somebody else"):
        await late.keep([os.urandom(32), *before], instead_of=before)
    assert load_master_keys(tmp_path, {}).ring() == other.ring()
