"""What an idle metrics service does not spend."""

import subprocess
import sys

import pytest

HEAVY = ("fastapi", "alembic", "sqlalchemy.orm", "httpx")


@pytest.mark.parametrize("module", HEAVY)
def test_importing_the_service_does_not_import(module):
    code = f"import sys, services.metrics.app; print({module!r} in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_using_the_ledger_does_not_load_the_orm(tmp_path, empty_ledger):
    (tmp_path / "ledger.db").write_bytes(empty_ledger)
    code = """
import asyncio, pathlib, sys
from services.metrics.app import build
from services.metrics.settings import MetricsSettings
from shared.log.memory import MemoryLog
async def main():
    home = pathlib.Path(sys.argv[1])
    service = build(MetricsSettings(database=home / "ledger.db", logs=home / "logs"), log=MemoryLog())
    await service.start()
    await service.stop()
    print([name for name in ("fastapi", "alembic", "sqlalchemy.orm") if name in sys.modules])
asyncio.run(main())
"""
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
