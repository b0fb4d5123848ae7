"""Whether the ledger's tables are those of this version, and how they become so."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from services.metrics.adapters.databases import open_database
from services.metrics.settings import Postgres
from shared.kernel.errors import StartRefused

SCHEMA: Final = "0004"
"""The newest migration: what ``adapters.tables`` describes."""
KNOWN: Final = ("0001", "0002", "0003", "0004")
_ROOT: Final = Path(__file__).parents[3]

log = structlog.get_logger("metrics.schema")


async def migrate(place: Path | Postgres) -> None:
    """Bring the tables to this version; raises StartRefused when that fails or a newer version made them, and
    LedgerUnavailable where the database does not answer.

    alembic and its 35 MB live and die in a child process, which is not even started when there is nothing to do.
    """
    database = open_database(place)
    found = await asyncio.to_thread(database.version)
    if found == SCHEMA:
        return
    if found is not None and found not in KNOWN:
        raise StartRefused(
            f"{database.place} was written by a newer version of LocalRouter (tables {found}, known {SCHEMA})"
        )
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.metrics.migrations",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    # not as arguments, which everybody on the machine may read
    output, _ = await child.communicate(_told(place))
    if child.returncode != 0:
        words = output.decode(errors="replace").strip()
        raise StartRefused(f"the tables of {database.place} could not be migrated: {words}")
    log.info("ledger migrated", before=found, now=SCHEMA)


def _told(place: Path | Postgres) -> bytes:
    if isinstance(place, Path):
        return msgspec.json.encode({"path": str(place)})
    return msgspec.json.encode({"url": place.url, "password": place.password, "schema": place.schema})


def heard(raw: bytes) -> Path | Postgres:
    """Return the place that the parent told."""
    told: dict[str, Any] = msgspec.json.decode(raw)
    return Path(told["path"]) if "path" in told else Postgres(**told)
