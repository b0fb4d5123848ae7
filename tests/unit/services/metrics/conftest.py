"""The service on a log in memory, with a real ledger in a temporary folder."""

import asyncio
from pathlib import Path

import pytest

from services.metrics.adapters.schema import migrate
from services.metrics.settings import MetricsSettings
from tests.support.metrics import KeptInFile, Rig


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An empty ledger's bytes: migrated once, for tests that do not ask how it came to be."""
    path = tmp_path_factory.mktemp("empty") / "ledger.db"
    asyncio.run(migrate(path))
    return path.read_bytes()


@pytest.fixture
def rig(tmp_path: Path, empty_ledger: bytes) -> Rig:
    kept = KeptInFile(tmp_path / "ledger.db", empty_ledger)
    return Rig(MetricsSettings(database=kept.place, logs=tmp_path / "logs", access_days=30), kept)
