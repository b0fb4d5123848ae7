"""Whether the ledger's tables are those of this version, and how they become so."""

import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

import structlog

from shared.kernel.errors import StartRefused

SCHEMA: Final = "0001"
"""The newest migration: what ``adapters.tables`` describes."""
KNOWN: Final = ("0001",)
_ROOT: Final = Path(__file__).parents[3]

log = structlog.get_logger("metrics.schema")


def schema_of(path: Path) -> str | None:
    """Return the version that the file's tables are at; None: it has none yet. Raises StartRefused."""
    if not path.exists():
        return None
    # mode rw, not ro: after a crash the first to open the file has to bring its write-ahead log home
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
        try:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
        except sqlite3.DatabaseError as error:
            raise StartRefused(f"{path} is not a ledger: {error}") from error
    return None if found is None else str(found[0])


async def migrate(path: Path) -> None:
    """Bring the tables to this version; raises StartRefused when that fails or a newer version made them.

    alembic and its 35 MB live and die in a child process, which is not even started when there is nothing to do.
    """
    found = await asyncio.to_thread(schema_of, path)
    if found == SCHEMA:
        return
    if found is not None and found not in KNOWN:
        raise StartRefused(f"{path} was written by a newer version of LocalRouter (tables {found}, known {SCHEMA})")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.metrics.migrations",
        str(path),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    output, _ = await child.communicate()
    if child.returncode != 0:
        raise StartRefused(f"the tables of {path} could not be migrated: {output.decode(errors='replace').strip()}")
    log.info("ledger migrated", before=found, now=SCHEMA)
