"""A real Secret Service holds the master key of a whole LocalRouter."""

from pathlib import Path

import pytest

from shared.runtime import os_keyring
from shared.runtime.master_key import load_master_keys, move_to_keyring
from shared.testing.nats import free_port
from tests.support.keyring_session import MISSING, secret_service
from tests.support.system import Processes, embedded, environment

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"this machine lacks {' and '.join(MISSING)}")

NOBODY = "http://127.0.0.1:9/v1"
CANARY = "sk-canary-of-the-keyring-test"


def refusal(folder: Path, **env: str) -> str:
    """Return what a LocalRouter says that must not start."""
    processes = Processes(folder)
    process = processes.start("refused", ["services.embedded"], environment(folder / "home", free_port(), **env))
    process.communicate(timeout=30)
    assert process.returncode == 1
    return (folder / "refused.err").read_text()


@pytest.mark.faults
def test_the_keyring_holds_the_master_key_over_restarts_and_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    with secret_service(tmp_path / "session") as bus:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
        with embedded(tmp_path, DBUS_SESSION_BUS_ADDRESS=bus) as system:
            system.create(
                "providers", slug="v", vendor="openai-compatible", base_url="http://127.0.0.1:9/v1", local=True
            )
            system.http.put("/providers/v/credentials", json={"value": CANARY}).raise_for_status()
            key = system.key(name="k")
        pointer = (home / "master.key").read_text().strip()
        assert pointer.startswith("keyring:")
        first = os_keyring.fetch(pointer.removeprefix("keyring:"))
        assert first is not None
        with embedded(tmp_path, DBUS_SESSION_BUS_ADDRESS=bus) as system:
            assert system.command("secrets", "rotate", "master")["rewrapped"] >= 2
        assert (home / "master.key").read_text().strip() == pointer
        second = os_keyring.fetch(pointer.removeprefix("keyring:"))
        assert second not in (None, first)
        assert "not the one" in refusal(tmp_path, LOCALROUTER_MASTER_KEY=first)
        with embedded(tmp_path, DBUS_SESSION_BUS_ADDRESS=bus) as system:
            assert system.http.get("/providers/v").json()["credentials"][0]["fingerprint"]
    assert "unlock the keyring" in refusal(tmp_path)
    for value in (CANARY, key, first, str(second)):
        left = [p for p in home.rglob("*") if p.is_file() and value.encode() in p.read_bytes()]
        assert left == []


def test_a_key_moves_from_its_file_into_the_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_master_keys(tmp_path, {})
    with secret_service(tmp_path / "session") as bus:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
        move_to_keyring(tmp_path)
        assert load_master_keys(tmp_path, {"DBUS_SESSION_BUS_ADDRESS": bus}).ring() == before.ring()
    assert before.ring()[0].hex() not in (tmp_path / "master.key").read_text()


async def test_a_process_that_runs_finds_the_key_where_it_was_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = load_master_keys(tmp_path, {})
    with secret_service(tmp_path / "session") as bus:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
        move_to_keyring(tmp_path)
        assert await running.again() == load_master_keys(tmp_path, {}).ring()
