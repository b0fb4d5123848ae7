"""A backup that is made under load, and what an empty folder becomes of it."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.system import ROOT, System, Wall, embedded, environment, until, wall

MODEL = "w/small"


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    with wall(tmp_path_factory.mktemp("vendor"), "small") as running:
        yield running


def ask(system: System, key: str) -> int:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "how do you do"}]}
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{system.url}/v1/chat/completions", json=body, headers=headers, timeout=20).status_code


@contextmanager
def load(system: System, key: str) -> Iterator[None]:
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            assert ask(system, key) == 200

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def restore(home: Path, file: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", "restore", str(file), *more]
    env = environment(home, 3000)  # nobody listens there: a restore serves nothing
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, vendor: Wall) -> tuple[Path, Path, str, dict[str, object]]:
    """A backup, the master key, a key, and every request by its id as the ledger told it later."""
    folder = tmp_path_factory.mktemp("first")
    file = folder / "backup.tar"
    with embedded(folder, "--no-local-model") as system:
        options = {"models": ["small"]}
        fields = {"credential": "vendor-secret", "local": True, "options": options}
        system.vendor("w", "openai-compatible", f"{vendor.url}/v1", ["small"], **fields)
        key = system.key(name="kept", target={"model": MODEL})
        until(lambda: ask(system, key) == 200, "the key opens")
        before = {item["id"] for item in system.requests(1)}
        with load(system, key):
            until(lambda: len(system.items("requests")) > 20, "traffic")
            system.command("backup", str(file))
            until(lambda: len(system.items("requests")) > 40, "more traffic")
        records = {item["id"]: item for item in system.items("requests")}
    assert before <= records.keys()
    return file, folder / "home" / "master.key", key, records


def test_a_backup_under_load_restores_keys_secrets_and_the_sums_up_to_it(
    made: tuple[Path, Path, str, dict[str, object]], vendor: Wall, tmp_path: Path
) -> None:
    file, master, key, records = made
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(master, home)
    done = restore(home, file)
    assert done.returncode == 0, done.stderr
    with embedded(tmp_path, "--no-local-model") as system:
        assert ask(system, key) == 403
        kept = {item["name"]: item for item in system.items("keys")}
        assert not any(item["enabled"] for item in kept.values())
        until(lambda: len(system.items("requests")) > 20, "the ledger is made from the log")
        restored = {item["id"]: item for item in system.items("requests") if item["status"] == "succeeded"}
        assert restored.items() <= records.items()
        assert len(restored) < len(records), "it was made before the end"
        assert system.http.patch(f"/keys/{kept['kept']['id']}", json={"enabled": True}).status_code == 200
        vendor.reset()
        until(lambda: ask(system, key) == 200, "the key opens once it is enabled")
        assert ["authorization", "Bearer vendor-secret"] in vendor.attempts()[-1]["headers"]
    again = restore(home, file)
    assert (again.returncode, "not empty" in again.stderr) == (4, True)


def test_a_backup_is_for_its_owner_alone_and_holds_no_master_key(
    made: tuple[Path, Path, str, dict[str, object]],
) -> None:
    file, master, _, _ = made
    raw = file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    assert bytes.fromhex(master.read_text().strip()) not in raw
    assert master.read_bytes().strip() not in raw
    assert b"vendor-secret" not in raw


def test_keys_stay_as_they_were_where_that_is_asked_for(
    made: tuple[Path, Path, str, dict[str, object]], tmp_path: Path
) -> None:
    file, master, key, _ = made
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(master, home)
    assert restore(home, file, "--enable-keys").returncode == 0
    with embedded(tmp_path, "--no-local-model") as system:
        until(lambda: ask(system, key) == 200, "the key opens")


@pytest.mark.parametrize("harm", ["no master key", "another master key", "cut short", "a bit", "no tar"])
def test_what_cannot_be_restored_leaves_the_folder_as_it_was(
    harm: str, made: tuple[Path, Path, str, dict[str, object]], tmp_path: Path
) -> None:
    file, master, _, _ = made
    home, harmed = tmp_path / "home", tmp_path / "harmed.tar"
    home.mkdir()
    raw = bytearray(file.read_bytes())
    if harm == "another master key":
        (home / "master.key").write_text(os.urandom(32).hex())
    elif harm != "no master key":
        shutil.copy(master, home)
    if harm == "a bit":
        raw[raw.index(b"streams/LR_USAGE", raw.index(b"ustar") + 20_000) + 600] ^= 1
    harmed.write_bytes({"cut short": raw[: len(raw) // 2], "no tar": b"no tar"}.get(harm, raw))
    done = restore(home, harmed)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    wanted = {
        "no master key": "a restore needs the master key",
        "another master key": "a restore needs the same master key",
        "cut short": "no backup, or not a whole one",
        "a bit": "does not match its checksum",
        "no tar": "no backup, or not a whole one",
    }
    assert wanted[harm] in done.stderr
    assert not (home / "nats").exists()
    assert not list(home.glob(".restore-*"))
