"""A router service over the log in memory."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from services.router.app import build
from services.router.settings import RouterSettings
from shared.contracts.catalog import Model, Prices, ProviderCatalog
from shared.contracts.envelope import Event, EventData, type_of
from shared.contracts.plan import Plan, decode_plan
from shared.log.memory import MemoryLog
from shared.log.port import CATALOG, PLANS, Append
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.service import Service

LIMIT_S = 10.0


class House:
    """A router over a log, and what a test wants to see of it."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.service: Service = self.another()

    def another(self) -> Service:
        """Return a router service of its own over the same log."""
        settings = RouterSettings(host="127.0.0.1", port=0, burst_s=0.001, retry_s=0.01)
        return build(settings, log=self.log, clock=SYSTEM_CLOCK, new_id=new_id)

    async def catalog(self, provider: str, *models: Model | str, **fields: Any) -> None:
        """Put a provider's models into the catalog."""
        items = tuple(model(f"{provider}/{item}") if isinstance(item, str) else item for item in models)
        value = ProviderCatalog(provider_id=f"id-{provider}", provider=provider, models=items, **fields)
        await self.log.bucket(CATALOG).put(f"id-{provider}", msgspec.json.encode(value))

    async def write(self, subject: str, data: EventData) -> None:
        """Append an event as its owner would."""
        name, version = type_of(data)
        event = Event(
            id=new_id(), type=name, version=version, source="t", subject=subject, time=SYSTEM_CLOCK.now(), data=data
        )
        await self.log.append(Append(subject, [event], None))

    async def plans(self) -> dict[str, Plan]:
        """Return the published plans by slug."""
        entries = await self.log.bucket(PLANS).entries()
        plans = [decode_plan(entry.value) for entry in entries if entry.value is not None]
        return {plan.slug: plan for plan in plans}

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until ``condition`` gives something true, and return that."""
        async with asyncio.timeout(LIMIT_S):
            while not (found := await condition()):  # noqa: ASYNC110  the condition has no event to wait for
                await asyncio.sleep(0.001)
        return found

    async def plan_with(self, slug: str, *models: str) -> Plan:
        """Wait until the plan of ``slug`` has exactly these candidates."""

        async def found() -> Plan | None:
            plan = (await self.plans()).get(slug)
            return plan if plan and [item.model for item in plan.candidates] == list(models) else None

        return await self.until(found)


def model(name: str, **fields: Any) -> Model:
    """Return a model of provider ``id-<slug>``."""
    provider, native = name.split("/", 1)
    return Model(id=name, provider_id=f"id-{provider}", provider=provider, native_id=native, **fields)


@pytest.fixture
def make_model() -> Callable[..., Model]:
    return model


@pytest.fixture
def usd() -> Callable[[float], Prices]:
    return lambda dollars: Prices(input=int(dollars * 10**12), output=int(dollars * 10**12))


@pytest.fixture
async def house() -> AsyncGenerator[House, None]:
    found = House()
    await found.service.start()
    yield found
    await found.service.stop()
