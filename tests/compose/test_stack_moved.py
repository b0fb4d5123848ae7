"""What outlives the containers: a master key that was replaced, and a backup that is put into empty volumes."""

import json
import re
import subprocess
from typing import Any

import httpx
import pytest

from tests.compose.load import Load
from tests.compose.stack import Stack, address, until
from tests.support.system import System, Wall

pytestmark = pytest.mark.compose

CREDENTIAL = "sk-canary-of-the-vendor"
KEPT = "kept"


def ask(stack: Stack, key: str) -> int:
    body = {"model": "auto", "messages": [{"role": "user", "content": "how do you do"}]}
    headers = {"authorization": f"Bearer {key}"}
    url = f"http://127.0.0.1:{stack.port}/v1/chat/completions"
    return httpx.post(url, json=body, headers=headers, timeout=20).status_code


def secret(stack: Stack, name: str) -> str:
    """Return what bootstrap sees of a secret."""
    return stack.compose("run", "--rm", "--no-deps", "--entrypoint", "cat", "bootstrap", f"/secrets/{name}").strip()


def up(stack: Stack) -> None:
    stack.compose("up", "--detach", "--wait", "--wait-timeout", "200", limit_s=240)


@pytest.fixture(scope="module")
def key(system: System, vendor: Wall) -> str:
    """A key for a provider whose credential is sealed."""
    fields = {"credential": CREDENTIAL, "local": True, "options": {"models": ["small"]}}
    system.vendor(KEPT, "openai-compatible", f"{vendor.url}/v1", ["small"], **fields)
    return system.key(name=KEPT, target={"model": f"{KEPT}/small"})


def opens(stack: Stack, vendor: Wall, key: str) -> None:
    """See that the key and the credential are what they were."""
    vendor.reset()
    until(lambda: ask(stack, key) == 200, "the key opens", 30)
    assert ["authorization", f"Bearer {CREDENTIAL}"] in vendor.attempts()[-1]["headers"]


def test_a_master_key_that_was_rotated_holds_over_a_new_start(
    stack: Stack, system: System, vendor: Wall, key: str
) -> None:
    before, store_key = secret(stack, "master/master-key"), secret(stack, "nats/store-key")
    opens(stack, vendor, key)
    rotated = json.loads(stack.compose("run", "--rm", "cli", "secrets", "rotate", "master", "--json"))
    assert rotated["rewrapped"] >= 2
    after = secret(stack, "master/master-key")
    assert re.fullmatch("[0-9a-f]{64}", after)
    assert after != before
    opens(stack, vendor, key)
    stack.compose("stop", limit_s=200)
    up(stack)
    opens(stack, vendor, key)
    assert (secret(stack, "master/master-key"), secret(stack, "nats/store-key")) == (after, store_key)


def rows(system: System) -> dict[str, dict[str, Any]]:
    """Return everything that the ledger holds, by id."""
    return {item["id"]: item for item in system.items("requests")}


def of_load(found: dict[str, dict[str, Any]]) -> set[str]:
    return {item["tags"]["load"] for item in found.values() if "load" in item["tags"]}


def caught_up(stack: Stack) -> bool:
    """Whether the ledger holds all that the log does."""
    [metrics] = stack.containers("metrics")
    headers = {"authorization": f"Bearer {secret(stack, 'all/service-token')}"}
    text = httpx.get(f"http://{address(metrics)}:3003/metrics", headers=headers).text
    return "\nlocalrouter_projection_lag_events 0.0\n" in text


def test_a_backup_under_load_goes_into_empty_volumes(stack: Stack, system: System, vendor: Wall, key: str) -> None:
    with Load([system.url], key) as load:
        until(lambda: len(load.outcomes) > 50, "the load runs", 30)
        before = {one.id for one in list(load.outcomes)}
        made = stack.pipe("run", "--rm", "-T", "cli", "backup", "-")
        assert made.returncode == 0, made.stderr
        taken = len(load.outcomes)
        until(lambda: len(load.outcomes) > taken + 50, "the load goes on", 30)
    assert load.failed(0) == []
    asked = {one.id for one in load.outcomes}
    until(lambda: asked <= of_load(rows(system)), "all is in the ledger", 60)
    known, master = rows(system), secret(stack, "master/master-key")
    for secret_one in (master.encode(), bytes.fromhex(master), CREDENTIAL.encode()):
        assert secret_one not in made.stdout

    refused = restore(stack, made.stdout)
    assert (refused.returncode, b"is not empty" in refused.stderr) == (4, True), refused.stderr
    stack.compose("down", "--volumes", limit_s=240)
    other = restore(stack, made.stdout)
    assert (other.returncode, b"needs the same master key" in other.stderr) == (4, True), other.stderr
    stack.compose("down", "--volumes", limit_s=240)

    command = ("run", "--rm", "-T", "bootstrap", "python", "-m", "shared.runtime.containers", "--master-key")
    given = stack.pipe(*command, given=master.encode())
    assert given.returncode == 0, given.stderr
    done = restore(stack, made.stdout)
    assert done.returncode == 0, done.stderr
    print(f"\n{done.stdout.decode().strip()} ({len(made.stdout) / 1e6:.1f} MB)")
    up(stack)
    with System(system.url, stack.admin_token()) as again:
        until(lambda: caught_up(stack), "the ledger is made from the log", 60)
        restored = rows(again)
        assert restored.items() <= known.items()
        assert before <= of_load(restored) & asked < asked, "up to the backup, and no further"
        [sums] = again.http.get("/usage").json()["items"]
        assert sums["requests"] == len(restored)
        for name in ("input", "output"):
            assert sums["tokens"][name] == sum(item["tokens"][name] for item in restored.values())
        print(f"{len(known)} requests were known in the end, {len(restored)} of them are in the backup")
        assert ask(stack, key) == 403, "every key is disabled"
        stack.compose("run", "--rm", "cli", "keys", "enable", KEPT)
        opens(stack, vendor, key)


def restore(stack: Stack, backup: bytes) -> subprocess.CompletedProcess[bytes]:
    return stack.pipe("run", "--rm", "-T", "restore", given=backup)
