"""The metrics service on a log in memory, with a real ledger: a file, or a database of a real server."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
import psycopg

from services.metrics.adapters.tables import TABLES
from services.metrics.app import build
from services.metrics.settings import MetricsSettings, Postgres
from shared.contracts.usage import UsageRecord
from shared.log.dead_letters import DeadLetters
from shared.log.memory import MemoryLog
from shared.log.port import LR_USAGE
from shared.runtime.service import Service
from shared.testing.usage import NOON, usage_payload


class FixedClock:
    """A clock that stands at noon of the tests' day."""

    moment = NOON

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return time.monotonic()


class Kept(Protocol):
    """Where a ledger is kept, and a way to it that is not the service's own."""

    place: Path | Postgres

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what a question answers."""
        ...

    def execute(self, sql: str) -> None:
        """Change something behind the service's back."""
        ...

    def renew(self) -> None:
        """Put an empty ledger there."""
        ...


class KeptInFile:
    """A SQLite file."""

    def __init__(self, path: Path, empty: bytes) -> None:
        self.place = path
        self._empty = empty
        self.renew()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.place)) as connection:
            return connection.execute(sql).fetchall()

    def execute(self, sql: str) -> None:
        with contextlib.closing(sqlite3.connect(self.place)) as connection, connection:
            connection.execute(sql)

    def renew(self) -> None:
        for leftover in self.place.parent.glob(f"{self.place.name}*"):
            leftover.unlink()
        self.place.write_bytes(self._empty)


class KeptInPostgres:
    """A database of a server, whose tables are there already; one test at a time."""

    def __init__(self, place: Postgres) -> None:
        self.place = place

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connect() as connection:
            return connection.execute(sql.encode()).fetchall()

    def execute(self, sql: str) -> None:
        with self._connect() as connection:
            connection.execute(sql.encode())

    def renew(self) -> None:
        with self._connect() as connection:
            tables = ", ".join(table.name for table in TABLES)
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute(f"TRUNCATE {tables}".encode())

    def _connect(self) -> Any:
        options = f"-csearch_path={self.place.schema}"
        return psycopg.connect(self.place.url, password=self.place.password, autocommit=True, options=options)


@dataclass
class Rig:
    """A service and its log."""

    settings: MetricsSettings
    kept: Kept | None = None
    log: MemoryLog = field(default_factory=MemoryLog)
    clock: FixedClock = field(default_factory=FixedClock)
    service: Service | None = None

    async def buried(self) -> list[tuple[int, str]]:
        """The sequence and reason of every message that was set aside."""
        return [(letter.sequence, letter.reason) async for letter in DeadLetters(self.log).list("ledger")]

    def make(self, token: str | None = None) -> Service:
        self.service = build(self.settings, log=self.log, clock=self.clock, token=token)
        return self.service

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[httpx.AsyncClient, None]:
        service = self.make()
        await service.start()
        try:
            yield client_of(service)
        finally:
            await service.stop()

    async def publish(self, *records: UsageRecord, message_id: str | None = None) -> int:
        identity = message_id or f"0:{(await self.log.position(LR_USAGE)).sequence}"
        return await self.publish_raw(usage_payload(records, position=identity), identity)

    async def publish_raw(self, payload: bytes, message_id: str) -> int:
        return await self.log.publish("lr.usage.gateway-1", payload, message_id=message_id)

    def refuse_odd_keys(self) -> str:
        """Let the database refuse records of the key ``odd``; returns the statement that ends it."""
        assert self.kept is not None
        if isinstance(self.settings.database, Path):
            self.kept.execute(
                "CREATE TRIGGER no_odd_key BEFORE INSERT ON requests WHEN NEW.key_name = 'odd'"
                " BEGIN SELECT RAISE(ABORT, 'odd'); END"
            )
            return "DROP TRIGGER no_odd_key"
        self.kept.execute("ALTER TABLE requests ADD CONSTRAINT nothing_odd CHECK (key_name <> 'odd')")
        return "ALTER TABLE requests DROP CONSTRAINT nothing_odd"

    async def eventually(self, condition: Callable[[], Any]) -> None:
        await eventually(condition)

    async def projected(self, client: httpx.AsyncClient) -> None:
        """Wait until everything in the log is in the ledger."""

        async def done() -> bool:
            return "\nlocalrouter_projection_lag_events 0.0" in (await client.get("/metrics")).text

        await eventually(done)


def give_attempts_rows(kept: Kept) -> None:
    """Make a ledger one of version 0003, in which every attempt has a row."""
    for statement in (
        "INSERT INTO attempt_rows SELECT * FROM attempts WHERE request_id NOT IN (SELECT request_id FROM attempt_rows)",
        "DROP VIEW attempts",
        "ALTER TABLE attempt_rows RENAME TO attempts",
        "ALTER TABLE requests DROP COLUMN outcome",
        "UPDATE alembic_version SET version_num = '0003'",
    ):
        kept.execute(statement)


def client_of(service: Service, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(service.app)
    return httpx.AsyncClient(transport=transport, base_url="http://metrics", headers=headers)


async def eventually(condition: Callable[[], Any], limit_s: float = 10.0) -> None:
    """Wait until ``condition`` (plain or async) is true; fails after ``limit_s``."""
    deadline = time.monotonic() + limit_s
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, "it did not become true in time"
        await asyncio.sleep(0.005)
