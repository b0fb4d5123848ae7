"""The service on a log in memory, with a real ledger in a temporary folder."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.metrics.adapters.schema import migrate
from services.metrics.app import build
from services.metrics.settings import MetricsSettings
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


@dataclass
class Rig:
    """A service and its log."""

    settings: MetricsSettings
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

    async def eventually(self, condition: Callable[[], Any]) -> None:
        await eventually(condition)

    async def projected(self, client: httpx.AsyncClient) -> None:
        """Wait until everything in the log is in the ledger."""

        async def done() -> bool:
            return "\nlocalrouter_projection_lag_events 0.0" in (await client.get("/metrics")).text

        await eventually(done)


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


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An empty ledger's bytes: migrated once, for tests that do not ask how it came to be."""
    path = tmp_path_factory.mktemp("empty") / "ledger.db"
    asyncio.run(migrate(path))
    return path.read_bytes()


@pytest.fixture
def rig(tmp_path: Path, empty_ledger: bytes) -> Rig:
    settings = MetricsSettings(database=tmp_path / "ledger.db", logs=tmp_path / "logs", access_days=30)
    settings.database.write_bytes(empty_ledger)
    return Rig(settings)
