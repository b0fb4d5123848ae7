"""Which database a ledger is in."""

from pathlib import Path

from services.metrics.adapters.database import Database
from services.metrics.adapters.sqlite import Sqlite
from services.metrics.settings import Postgres


def open_database(place: Path | Postgres) -> Database:
    """Return the database at ``place``, which need not answer yet; raises StartRefused where its driver is missing."""
    if isinstance(place, Path):
        return Sqlite(place)
    # its driver is 5 MB that an embedded ledger does without
    from services.metrics.adapters.postgres import PostgresDatabase

    return PostgresDatabase(place)
