"""The ledger in a database of a PostgreSQL server: a schema of its own, rows in partitions by day, written by COPY."""

import contextlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import JSON, Connection, Engine, Table, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.pool import StaticPool

from services.metrics.adapters.database import Database, LedgerUnavailable, RowsRefused, Use
from services.metrics.adapters.tables import BY_DAY, TABLES
from services.metrics.settings import Postgres
from shared.kernel.errors import StartRefused

try:
    import psycopg
    from psycopg import sql
    from sqlalchemy.dialects.postgresql import insert as postgres_insert
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
except ImportError as missing:
    raise StartRefused(
        f"a ledger in PostgreSQL needs its driver ({missing}): pip install 'localrouter[metrics]'"
    ) from missing

_CONNECT_S: Final = 5
_SILENT_MS: Final = 30_000
"""A peer that confirms nothing of what was sent for so long is gone."""
_FEW: Final = 16
"""Rows that go one by one; more go by COPY through a temporary table."""
_QUESTION_MS: Final = 60_000
_HOPELESS: Final = ("28", "3D", "42501")
"""States of a refused login, of a database that does not exist, of rights that are lacking: no waiting helps."""
_HOPELESS_WORDS: Final = re.compile(
    r"password authentication failed|no password supplied|no pg_hba\.conf entry|permission denied"
    r"|(database|role) \".*\" does not exist"
)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")


class PostgresDatabase:
    """One schema of one database."""

    def __init__(self, where: Postgres) -> None:
        self._where = where
        self._url = make_url(where.url).set(drivername="postgresql+psycopg", password=where.password)
        self._days: set[str] = set()

    @property
    def place(self) -> str:
        """The URL without its password."""
        return self._where.url

    @property
    def served(self) -> bool:
        """It is."""
        return True

    @property
    def where(self) -> Postgres:
        """The database, with its password."""
        return self._where

    def beside(self) -> "PostgresDatabase":
        """Return another schema of this database."""
        return PostgresDatabase(replace(self._where, schema=f"{self._where.schema}_rebuilt"))

    def discard(self) -> None:
        """Drop the schema; raises LedgerUnavailable."""
        self._drop(self._where.schema)

    def become(self, other: Database) -> None:
        """Give another schema the name of this one; raises LedgerUnavailable.

        Who is still reading the old tables ends in peace: a table is dropped when nobody uses it any more.
        """
        assert isinstance(other, PostgresDatabase)
        old = f"{self._where.schema}_replaced"
        self._drop(old)
        try:
            with self._connect() as connection, connection.transaction():
                for name, new in ((self._where.schema, old), (other.where.schema, self._where.schema)):
                    statement = sql.SQL("ALTER SCHEMA {} RENAME TO {}")
                    connection.execute(statement.format(sql.Identifier(name), sql.Identifier(new)))
        except psycopg.Error as error:
            raise self._sorted(error) from error
        self._drop(old)

    def _drop(self, schema: str) -> None:
        try:
            with self._connect() as connection:
                asked = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relispartition"
                parts = connection.execute(f"{asked} AND relkind = 'r'".encode(), [schema]).fetchall()
                # one by one: all in one transaction would be more locks than a server has
                for (part,) in parts:
                    connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(schema, part)))
                connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
        except psycopg.Error as error:
            raise self._sorted(error) from error

    def engine(self, use: Use) -> Engine:
        """Return an engine of one connection.

        What writes does not wait for the disk: a power cut may take the last transactions, but each holds rows,
        counters and checkpoint together, so what is lost is read from the log again.
        """
        options = [f"-csearch_path={self._where.schema}", "-ctimezone=UTC"]
        if use == "read":
            options += ["-cdefault_transaction_read_only=on", f"-cstatement_timeout={_QUESTION_MS}"]
        else:
            options += ["-csynchronous_commit=off"]
        arguments = {
            "connect_timeout": _CONNECT_S,
            "tcp_user_timeout": _SILENT_MS,
            "keepalives_idle": 10,
            "application_name": f"localrouter-ledger-{use}",
            "options": " ".join(options),
        }
        return create_engine(self._url, poolclass=StaticPool, connect_args=arguments)

    def version(self) -> str | None:
        """Return the migration that the tables are at; None: there are none yet."""
        try:
            with self._connect() as connection:
                table = f"{self._where.schema}.alembic_version"
                if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
                    return None
                found = connection.execute(
                    sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(*table.split(".")))
                ).fetchone()
        except psycopg.Error as error:
            raise self._sorted(error) from error
        return None if found is None else str(found[0])

    def make_schema(self) -> None:
        """Make the schema that the tables will be in, where it is missing."""
        statement = sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self._where.schema))
        # of two that make it at once, one is told that it breaks the uniqueness of names: the other has made it
        with self._connect() as connection, contextlib.suppress(psycopg.errors.UniqueViolation):
            connection.execute(statement)

    def hold(self, connection: Connection) -> None:
        """Take the lock of the one writer, which ends with the connection; raises LedgerUnavailable."""
        asked = "SELECT pg_try_advisory_lock(hashtext(%s))"
        if connection.exec_driver_sql(asked, (f"localrouter {self._where.schema}",)).scalar() is not True:
            raise LedgerUnavailable(f"another metrics service writes the ledger in {self.place}")
        self._days = {
            str(found)
            for (found,) in connection.exec_driver_sql(
                "SELECT substr(relname, 10) FROM pg_class WHERE relnamespace = %s::regnamespace"
                " AND relispartition AND relkind = 'r' AND relname ~ '^requests_'",
                (self._where.schema,),
            )
        }

    def make_room(self, connection: Connection, days: Collection[str]) -> None:
        """Make the partitions of ``days`` that are missing.

        A table is made and then attached: that lets questions go on, as making it a partition at once would not.
        """
        for day in days:
            name = day.replace("-", "")
            if name in self._days:
                continue
            if _DAY.fullmatch(day) is None:
                raise RowsRefused(f"not a day: {day!r}")
            for table in BY_DAY:
                part = f"{table.name}_{name}"
                connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {part} (LIKE {table.name} INCLUDING ALL)")
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ATTACH PARTITION {part} FOR VALUES IN ('{day}')")

    def insert(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows in the order of the table's columns."""
        if rows:
            self._copy(connection, table, table.name, rows)

    def _copy(self, connection: Connection, table: Table, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
        driver: Any = connection.connection.driver_connection
        try:
            with driver.cursor() as cursor, cursor.copy(_copy(table, into)) as copy:
                copy.set_types(_TYPES[table.name])
                for row in _binary(table, rows):
                    copy.write_row(row)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise RowsRefused(_first_line(error)) from error
        except psycopg.Error as error:
            raise LedgerUnavailable(f"the ledger does not take writes: {_first_line(error)}") from error

    def upsert(self, connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add rows, or put them in the place of those with the same key."""
        rows = list(rows)
        if len(rows) < _FEW:
            if rows:
                connection.exec_driver_sql(_UPSERTS[table.name], rows)
            return
        new = f"new_{table.name}"
        connection.exec_driver_sql(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {new} (LIKE {table.name}) ON COMMIT DELETE ROWS"
        )
        self._copy(connection, table, new, rows)
        connection.exec_driver_sql(_merge(table, new))
        # once more in this transaction it must not bring these again
        connection.exec_driver_sql(f"DELETE FROM {new}")  # noqa: S608  names of ours

    def refusal(self, error: Exception) -> bool:
        """Whether rows are at fault."""
        return isinstance(error, IntegrityError | DataError)

    def _connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        where = self._where
        return psycopg.connect(where.url, password=where.password, connect_timeout=_CONNECT_S, autocommit=True)

    def _sorted(self, error: psycopg.Error) -> StartRefused | LedgerUnavailable:
        words = _first_line(error)
        # a failed login has no state: the driver tells of it in words alone
        if (error.sqlstate or "").startswith(_HOPELESS) or _HOPELESS_WORDS.search(str(error)):
            return StartRefused(f"the database {self.place} does not let us in: {words}")
        return LedgerUnavailable(f"the database {self.place} does not answer: {words}")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _copy(table: Table, into: str) -> str:
    return f'COPY "{into}" ({_columns(table)}) FROM STDIN (FORMAT BINARY)'


def _binary(table: Table, rows: Sequence[tuple[Any, ...]]) -> Iterable[tuple[Any, ...]]:
    """Return rows as binary COPY takes them: JSON, which comes last, as the bytes that the server itself would send."""
    count = sum(isinstance(column.type.dialect_impl(_DIALECT), JSON) for column in table.columns)
    if not count:
        return rows
    return ((*row[:-count], *(_JSONB + text.encode() for text in row[-count:])) for row in rows)


def _columns(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)


def _merge(table: Table, new: str) -> str:
    keys = ", ".join(f'"{column.name}"' for column in table.primary_key)
    others = [column.name for column in table.columns if not column.primary_key]
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
    return (
        f'INSERT INTO "{table.name}" ({_columns(table)}) SELECT {_columns(table)} FROM {new}'  # noqa: S608  names of ours
        f" ON CONFLICT ({keys}) DO UPDATE SET {changes}"
    )


def _upsert(table: Table) -> str:
    insert = postgres_insert(table)
    keys = [column.name for column in table.primary_key]
    changes = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
    return str(insert.on_conflict_do_update(index_elements=keys, set_=changes).compile(dialect=_DIALECT))


def _types(table: Table) -> list[str]:
    names = (column.type.compile(_DIALECT) for column in table.columns)
    return [_WIRE.get(name.split()[0], name.split()[0].lower()) for name in names]


_DIALECT: Final = PGDialect_psycopg(paramstyle="format")
_WIRE: Final = {"FLOAT": "float8", "INTEGER": "int4", "BIGINT": "int8", "JSONB": "bytea"}
_JSONB: Final = b"\x01"
"""Version 1 of the wire form."""
_TYPES: Final = {table.name: _types(table) for table in TABLES}
_UPSERTS: Final = {table.name: _upsert(table) for table in TABLES}
