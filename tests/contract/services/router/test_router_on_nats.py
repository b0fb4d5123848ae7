"""The router service on a real nats-server: the same life as over the log in memory, and what a cut does to it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from services.router.app import build
from services.router.settings import RouterSettings
from shared.contracts.catalog import Model, ProviderCatalog
from shared.contracts.plan import Plan, decode_plan
from shared.log.nats import NatsLog
from shared.log.port import CATALOG, LR_FACTS, PLANS
from shared.runtime.service import Service
from shared.testing.nats import ThrowAwayNats, throw_away_nats

ROUTERS = "/admin/v1/routers"
BY_COST = {"mode": "automatic", "strategies": [{"name": "lowest_cost"}]}
LIMIT_S = 20.0


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[ThrowAwayNats, None]:
    async with throw_away_nats(tmp_path) as running:
        yield running


@pytest.fixture
async def log(server: ThrowAwayNats) -> AsyncGenerator[NatsLog, None]:
    connected = await server.log()
    yield connected
    await connected.close()


@pytest.fixture
async def service(log: NatsLog) -> AsyncGenerator[Service, None]:
    router = build(RouterSettings(host="127.0.0.1", port=0, burst_s=0.001, retry_s=0.05), log=log)
    await router.start()
    yield router
    await router.stop()


@pytest.fixture
async def api(service: Service) -> AsyncGenerator[httpx.AsyncClient, None]:
    headers = {"x-localrouter-actor": "tester"}
    transport = httpx.ASGITransport(service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://router", headers=headers) as client:
        yield client


async def put_models(log: NatsLog, *names: str) -> None:
    models = tuple(Model(id=f"p/{name}", provider_id="1", provider="p", native_id=name) for name in names)
    value = ProviderCatalog(provider_id="1", provider="p", models=models)
    await log.bucket(CATALOG).put("1", msgspec.json.encode(value))


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(LIMIT_S):
        while not (found := await condition()):  # noqa: ASYNC110  the condition has no event to wait for
            await asyncio.sleep(0.01)
        return found


async def plan_with(log: NatsLog, slug: str, *models: str) -> Plan:
    async def found() -> Plan | None:
        for entry in await log.bucket(PLANS).entries():
            plan = decode_plan(entry.value or b"")
            if plan.slug == slug and [item.model for item in plan.candidates] == list(models):
                return plan
        return None

    return await until(found)


async def test_a_router_lives_from_its_creation_to_its_deletion(api: httpx.AsyncClient, log: NatsLog):
    await put_models(log, "a", "b")
    await plan_with(log, "minimum-cost", "p/a", "p/b")
    created = await api.post(ROUTERS, json={"name": "Mine", "order": BY_COST, "models": {"include": ["p/b"]}})
    assert created.status_code == 201
    await plan_with(log, "mine", "p/b")
    replaced = await api.put(f"{ROUTERS}/mine", json={"name": "Mine", "order": BY_COST}, headers={"if-match": '"1"'})
    assert replaced.json()["version"] == 2
    plan = await plan_with(log, "mine", "p/a", "p/b")
    facts = [item async for item in log.read(LR_FACTS, f"lr.facts.plan.{created.json()['id']}")]
    assert facts[-1].event is not None
    assert facts[-1].event.data.plan_hash == plan.hash  # pyright: ignore[reportAttributeAccessIssue]
    assert (await api.delete(f"{ROUTERS}/mine")).status_code == 204

    async def gone() -> bool:
        return await log.bucket(PLANS).get(plan.router_id) is None

    await until(gone)
    assert (await api.post(ROUTERS, json={"name": "Mine", "order": BY_COST})).status_code == 201


async def test_two_creates_of_one_name_at_once_make_one_router(api: httpx.AsyncClient):
    answers = await asyncio.gather(*(api.post(ROUTERS, json={"name": "Mine", "order": BY_COST}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


async def test_a_server_that_was_away_finds_the_plans_brought_up_to_date(
    api: httpx.AsyncClient, log: NatsLog, server: ThrowAwayNats
):
    await put_models(log, "a")
    await plan_with(log, "minimum-cost", "p/a")
    server.kill()
    await server.start()

    async def back() -> bool:
        return log.connected()

    await until(back)
    await put_models(log, "a", "b")
    await plan_with(log, "minimum-cost", "p/a", "p/b")
    assert (await api.post(ROUTERS, json={"name": "Mine", "order": BY_COST})).status_code == 201
    await plan_with(log, "mine", "p/a", "p/b")
