"""How the ledger's SQLite file is opened."""

import sqlite3
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # NORMAL is enough: a power cut may take the last transactions, but each holds rows, counters and checkpoint
    # together, so what is lost is read from the log again. FULL would only buy an fsync per batch.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA journal_size_limit = 67108864",
)


def open_engine(path: Path, use: Literal["write", "read"]) -> Engine:
    """Return an engine of one connection, to be used by one thread at a time.

    Writing transactions take the write lock when they begin, so they never fail half way for want of it.
    """
    # one connection for life: its thread keeps it, and a pool would only check it in and out
    engine = create_engine(
        f"sqlite:///{path}", poolclass=StaticPool, connect_args={"check_same_thread": False, "isolation_level": None}
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        for pragma in (*_PRAGMAS, "PRAGMA query_only = ON") if use == "read" else _PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.exec_driver_sql("BEGIN IMMEDIATE" if use == "write" else "BEGIN")

    return engine
