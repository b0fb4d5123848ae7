"""The ledger in a SQLite file."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError
from sqlalchemy.pool import StaticPool

from services.metrics.adapters.database import Database, LedgerUnavailable, RowsRefused, Use
from services.metrics.adapters.tables import TABLES
from shared.kernel.errors import StartRefused

_PRAGMAS: Final = (
    # of a new file: twice as many rows to a page, half as many pages to write
    "PRAGMA page_size = 8192",
    "PRAGMA journal_mode = WAL",
    # NORMAL is enough: a power cut may take the last transactions, but each holds rows, counters and checkpoint
    # together, so what is lost is read from the log again. FULL would only buy an fsync per batch.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA temp_store = MEMORY",
    # what a large transaction changes: with less, pages are written and read again before it ends
    "PRAGMA cache_size = -8000",
    # 16 MB, not 4: pages that change again and again reach the file less often
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 67108864",
)
_DIALECT: Final = sqlite.dialect()
_TOGETHER: Final = 128
"""Rows that go in one statement: SQLite takes 32,766 parameters in it."""


class Sqlite:
    """One file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        """The file."""
        return str(self._path)

    @property
    def served(self) -> bool:
        """It is not."""
        return False

    @property
    def where(self) -> Path:
        """The file's path."""
        return self._path

    def beside(self) -> "Sqlite":
        """Return a file beside this one."""
        return Sqlite(self._path.with_name(f"{self._path.name}.rebuilt"))

    def discard(self) -> None:
        """Remove the file; raises OSError."""
        self._drop_log()
        self._path.unlink(missing_ok=True)

    def become(self, other: Database) -> None:
        """Put another file in the place of this one; raises OSError."""
        assert isinstance(other, Sqlite)
        # A log of transactions that outlives its file would be read into the new one. What it holds is lost with the
        # old file anyway, and should that stay after all, is read from the events again.
        self._drop_log()
        other.where.replace(self._path)

    def _drop_log(self) -> None:
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def engine(self, use: Use) -> Engine:
        """Return an engine of one connection; the folder is made when missing.

        Writing transactions take the write lock when they begin, so they never fail half way for want of it.
        """
        if use == "write":
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # one connection for life: its thread keeps it, and a pool would only check it in and out
        engine = create_engine(
            f"sqlite:///{self._path}",
            poolclass=StaticPool,
            connect_args={"check_same_thread": False, "isolation_level": None},
        )

        @event.listens_for(engine, "connect")
        def configure(connection: sqlite3.Connection, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
            for pragma in (*_PRAGMAS, "PRAGMA query_only = ON") if use == "read" else _PRAGMAS:
                connection.execute(pragma)

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
            connection.exec_driver_sql("BEGIN IMMEDIATE" if use == "write" else "BEGIN")

        return engine

    def version(self) -> str | None:
        """Return the migration that the tables are at; None: there are none yet. Raises StartRefused."""
        path = self._path
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

    def make_schema(self) -> None:
        """Nothing: the file is made by the first connection."""

    def hold(self, connection: Connection) -> None:
        """Nothing: each transaction takes the lock, and the data folder has one owner."""

    def make_room(self, connection: Connection, days: Collection[str]) -> None:
        """Nothing: a table holds every day."""

    def insert(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows in the order of the table's columns."""
        self._run(connection, *_STATEMENTS[table.name][0], rows)

    def upsert(self, connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add rows, or put them in the place of those with the same key."""
        self._run(connection, *_STATEMENTS[table.name][1], list(rows))

    def _run(self, connection: Connection, one: str, many: str, rows: Sequence[tuple[Any, ...]]) -> None:
        # The interpreter is let go of and taken again for each statement, which beside a busy event loop takes longer
        # than the statement: so many rows are one.
        whole = len(rows) // _TOGETHER * _TOGETHER
        driver: Any = connection.connection.driver_connection
        try:
            for start in range(0, whole, _TOGETHER):
                driver.execute(many, tuple(chain.from_iterable(rows[start : start + _TOGETHER])))
            if whole < len(rows):
                driver.executemany(one, rows[whole:])
        except (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError) as error:
            raise RowsRefused(str(error)) from error
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"the ledger does not take writes: {error}") from error

    def refusal(self, error: Exception) -> bool:
        """Whether rows are at fault."""
        return isinstance(error, IntegrityError | DataError | InterfaceError)


def _compiled(statement: Any) -> str:
    # compiled once: the driver then takes plain tuples, which is several times quicker than parameters by name
    return str(statement.compile(dialect=_DIALECT))


def _statements(table: Table) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return how rows are added, and how they are put in the place of others: one, and ``_TOGETHER`` at once."""
    insert = sqlite.insert(table)
    keys = [column.name for column in table.primary_key]
    changes = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
    upsert = insert.on_conflict_do_update(index_elements=keys, set_=changes)
    return _repeated(_compiled(table.insert())), _repeated(_compiled(upsert))


def _repeated(statement: str) -> tuple[str, str]:
    head, word, rest = statement.partition(" VALUES ")
    row, end, tail = rest.partition(")")
    return statement, head + word + ", ".join([row + end] * _TOGETHER) + tail


_STATEMENTS: Final = {table.name: _statements(table) for table in TABLES}
