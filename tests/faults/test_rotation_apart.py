"""Services in processes of their own: the master key is rotated under load, whoever of them is killed meanwhile."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from shared.kernel.errors import SealBroken
from shared.kernel.secrets import Sealed
from shared.log.nats import NatsLog
from shared.log.port import SECRETS
from shared.log.secrets import SecretStore
from shared.runtime.master_key import load_master_keys
from tests.support.apart import Apart
from tests.support.leaks import found_in
from tests.support.rotating import Load, ask, rotate
from tests.support.system import System, Wall, embedded, separate, until, wall

CANARY = "sk-canary-of-services-apart"
pytestmark = pytest.mark.faults


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Wall]:
    with wall(tmp_path, "small") as running:
        yield running


def prepared(system: System, vendor: Wall) -> str:
    system.provider(vendor.url, "wall", ["small"])
    system.http.put("/providers/wall/credentials", json={"value": CANARY}).raise_for_status()
    system.create("providers", slug="other", vendor="openai-compatible", base_url=f"{vendor.url}/v1", local=True)
    key = system.key(target={"model": "wall/small"}, name="apart")
    until(lambda: ask(system.url, key) == 200, "the vendor answers")
    return key


def sent(vendor: Wall) -> str:
    """Return the credential that the vendor saw last."""
    return dict(vendor.attempts()[-1]["headers"])["authorization"]


def all_readable(apart: Apart, system: System, vendor: Wall, key: str) -> None:
    """Everybody starts again with nothing in memory, and opens everything."""
    for name in ("providers", "gateway"):
        apart.kill(name)
        apart.start(name)
    until(apart.ready, "the gateway is ready again")
    until(lambda: ask(system.url, key) == 200, "the key and the credential open")
    assert sent(vendor) == f"Bearer {CANARY}"
    until(lambda: len((apart.home / "master.key").read_text().split()) == 1, "an open rotation went on by itself")
    named = len(system.http.get("/providers/other").json()["credentials"]) + 2
    assert until(lambda: rotated_now(system), "another rotation")["rewrapped"] >= named, (
        "every credential and the pepper"
    )
    assert asyncio.run(opened(apart, load_master_keys(apart.home, {}).ring()[0], [])) >= named


def rotated_now(system: System) -> dict[str, int] | None:
    answer = system.http.post("/secrets/rotate", json={"what": "master"})
    return answer.json() if answer.status_code == 200 else None


def test_rotated_again_and_again_under_load_no_request_fails_and_the_old_keys_open_nothing(
    tmp_path: Path, vendor: Wall
) -> None:
    apart = Apart(tmp_path)
    old: list[bytes] = []
    with apart.running() as system:
        key = prepared(system, vendor)
        load = Load(system, key, CANARY)
        for _ in range(5):
            old += load_master_keys(apart.home, {}).ring()
            for what in ("master", "pepper"):
                answer = system.http.post("/secrets/rotate", json={"what": what})
                assert answer.status_code == 200, answer.text
        load.enough.set()
        load.join(20)
        assert set(load.answers) == {200}
        assert load.stored > 0
        all_readable(apart, system, vendor, key)
        newest = load_master_keys(apart.home, {}).ring()[0]
        asyncio.run(opened(apart, newest, old))
        masters = {f"master {place}": each.hex() for place, each in enumerate((*old, newest))}
        secrets = {
            "credential": CANARY,
            "key": key,
            "token": (apart.home / "admin-token").read_text().strip(),
            **masters,
        }
        # the store is not encrypted here: what is in it sealed is all that protects it
        assert found_in(tmp_path, secrets, "admin-token", "master.key", "wall.jsonl") == []


async def opened(apart: Apart, newest: bytes, old: list[bytes]) -> int:
    """Open every secret with the newest master key, and with no older one; returns how many there are."""
    log = await NatsLog.connect(apart.nats.url, name="test")
    bucket = log.bucket(SECRETS)
    entries = [entry for entry in await bucket.entries() if entry.value is not None]
    for entry in entries:
        context = msgspec.json.decode(entry.value or b"", type=Sealed).context
        assert SecretStore(bucket, newest).open(entry, context=context)
        for each in old:
            with pytest.raises(SealBroken):
                SecretStore(bucket, each).open(entry, context=context)
    await log.close()
    return len(entries)


VICTIMS: dict[str, Callable[[Apart], None]] = {
    "gateway": lambda apart: apart.kill("gateway"),
    "providers": lambda apart: apart.kill("providers"),
    "nats": lambda apart: apart.nats.kill(),
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_whoever_is_killed_in_a_rotation_under_load_everything_is_readable(
    tmp_path: Path, vendor: Wall, victim: str
) -> None:
    apart = Apart(tmp_path)
    with apart.running() as system:
        key = prepared(system, vendor)
        for wait_ms in (0, 4, 12, 30, 90):
            load = Load(system, key, CANARY)
            until(lambda load=load: load.stored > 2, "there is load")
            rotating = threading.Thread(target=rotate, args=(system,), daemon=True)
            rotating.start()
            time.sleep(wait_ms / 1_000)
            VICTIMS[victim](apart)
            load.enough.set()
            if victim == "nats":
                asyncio.run(apart.nats.start())
            else:
                apart.start(victim)
            rotating.join(40)
            load.join(40)
            until(apart.ready, "the gateway is ready again")
            all_readable(apart, system, vendor, key)


def test_the_store_of_a_data_folder_opens_in_one_process_after_services_apart_rotated(tmp_path: Path) -> None:
    with separate(tmp_path) as system:
        system.key(name="made-apart")
        assert rotated_now(system) is not None
    with embedded(tmp_path) as system:
        assert "made-apart" in {item["name"] for item in system.items("keys")}
