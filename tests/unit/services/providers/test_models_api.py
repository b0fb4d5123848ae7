"""The admin API's models: searched, priced by hand, and told where their prices are from."""

import time
from typing import Any

import httpx
import msgspec
import pytest

from services.providers.domain.search import ModelIndex, Search
from shared.contracts.catalog import Capability, Model, Prices, PriceUnknown, ProviderCatalog
from shared.contracts.config import ProviderOptions, ProviderSpec
from shared.log.port import CATALOG, LR_FACTS

USD = 10**12
KINDS = (
    (Capability.CHAT,),
    (Capability.CHAT, Capability.TOOLS),
    (Capability.CHAT, Capability.TOOLS, Capability.VISION),
)


def model(place: int) -> Model:
    provider = f"p{place % 20}"
    return Model(
        id=f"{provider}/model-{place:05}",
        provider_id=f"id-{provider}",
        provider=provider,
        native_id=f"model-{place:05}",
        capabilities=KINDS[place % 3],
        context_window=None if place % 7 == 0 else 1_000 * (place % 200),
        parameters_b=None if place % 5 == 0 else place % 70 + 0.5,
        prices=None if place % 11 == 0 else Prices(input=place * USD // 1_000, output=place * USD // 500),
    )


MANY = [model(place) for place in range(10_000)]


@pytest.mark.parametrize(
    "search",
    [
        Search(),
        Search(text="MODEL-0012"),
        Search(text="p3/ 99"),
        Search(text="no such"),
        Search(provider="p3"),
        Search(provider="id-p3", min_context=100_000),
        Search(provider="nobody"),
        Search(capabilities=(Capability.TOOLS, Capability.VISION)),
        Search(min_parameters_b=7, max_parameters_b=9),
        Search(max_price=USD),
        Search(capabilities=KINDS[2], min_parameters_b=60, min_context=190_000, max_price=18 * USD, text="model"),
    ],
)
def test_ten_thousand_models_are_searched_in_less_than_5_ms(search: Search) -> None:
    index = ModelIndex(reversed(MANY))
    took: list[float] = []
    found: list[Model] = []
    for _ in range(5):
        began = time.thread_time()
        found = index.find(search, limit=100)
        took.append(time.thread_time() - began)
    expected = sorted((one for one in MANY if matches(one, search)), key=lambda one: one.id)
    assert found == expected[:100]
    if len(expected) > 100:
        assert index.find(search, limit=100, after=found[-1].id) == expected[100:200]
    assert min(took) < 0.005


def matches(one: Model, search: Search) -> bool:
    if search.provider is not None and search.provider not in (one.provider, one.provider_id):
        return False
    if not set(search.capabilities) <= set(one.capabilities):
        return False
    if search.min_parameters_b and (one.parameters_b is None or one.parameters_b < search.min_parameters_b):
        return False
    if search.max_parameters_b and (one.parameters_b is None or one.parameters_b > search.max_parameters_b):
        return False
    if search.min_context and (one.context_window is None or one.context_window < search.min_context):
        return False
    if search.max_price and (one.prices is None or max(one.prices.input, one.prices.output) > search.max_price):
        return False
    return all(word in one.id for word in (search.text or "").lower().split())


def test_a_model_is_found_by_its_id() -> None:
    index = ModelIndex(MANY)
    assert index.get("p3/model-00003") == MANY[3]
    assert index.get("p3/model-00004") is None
    assert ModelIndex().get("x") is None
    assert len(index) == len(index.all()) == 10_000


OPENAI = ProviderSpec(
    slug="mine", vendor="openai-compatible", base_url="https://x.example/v1", options=ProviderOptions(models=("m-7b",))
)
PRICE = {"model": "mine/m-7b", "input": "0.15", "output": "0.6", "cached": "0.015", "request": "0.001"}


async def ask(running: Any, method: str, path: str, body: Any = None) -> httpx.Response:
    transport = httpx.ASGITransport(running.service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://providers") as client:
        return await client.request(method, f"/admin/v1{path}", json=body, headers={"x-localrouter-actor": "tester"})


async def shown(running: Any) -> Any:
    (found,) = (await ask(running, "GET", "/models?provider=mine")).json()["items"]
    return found


async def test_a_price_that_is_set_holds_at_once_and_is_taken_back(house: Any) -> None:
    async with house() as running:
        await running.add("p1", OPENAI, None)
        await running.caught_up()
        await ask(running, "POST", "/models/refresh?provider=mine")
        assert (await shown(running))["prices"] is None
        told = [item.event.data async for item in running.log.read(LR_FACTS, "lr.facts.prices.>") if item.event]
        assert told == [PriceUnknown(provider_id="p1", provider="mine", models=("mine/m-7b",))]
        book = (await ask(running, "PUT", "/models/prices", PRICE)).json()
        assert [own["version"] for own in book["overrides"]] == ["overrides@1"]
        model = await shown(running)
        assert (model["price_source"], model["price_version"]) == ("overrides", "overrides@1")
        assert (model["prices"]["input"], model["prices"]["cached"], model["prices"]["request"]) == (
            "0.15",
            "0.015",
            "0.001",
        )
        bucket = await running.log.bucket(CATALOG).get("p1")
        assert msgspec.json.decode(bucket.value, type=ProviderCatalog).models[0].price_version == "overrides@1"
        async with running.again() as later:
            assert (await shown(later))["price_version"] == "overrides@1"
        gone = (await ask(running, "DELETE", "/models/prices?model=mine/m-7b")).json()
        assert gone["overrides"] == []
        assert (await shown(running))["prices"] is None
        assert (await ask(running, "DELETE", "/models/prices?model=mine/m-7b")).status_code == 404
        sources = (await ask(running, "GET", "/models/prices")).json()["sources"]
        assert [(source["source"], source["version"]) for source in sources] == [("overrides", "overrides@2")]


@pytest.mark.parametrize(
    ("change", "status"),
    [({"model": "nobody/m"}, 404), ({"model": "mine"}, 404), ({"input": "-1"}, 422), ({"output": "much"}, 422)],
)
async def test_a_price_that_makes_no_sense_is_refused(house: Any, change: dict[str, str], status: int) -> None:
    async with house() as running:
        await running.add("p1", OPENAI, None)
        await running.caught_up()
        assert (await ask(running, "PUT", "/models/prices", PRICE | change)).status_code == status


async def test_a_model_can_be_given_a_name_that_nobody_else_has(house: Any) -> None:
    async with house() as running:
        await running.add("p1", OPENAI, None)
        await running.caught_up()
        await ask(running, "POST", "/models/refresh?provider=mine")
        target = {"model": "mine/m-7b"}
        assert (await ask(running, "PUT", "/models/aliases/small", target)).json() == {
            "name": "small",
            **target,
            "listed": True,
        }
        assert (await shown(running))["aliases"] == ["small"]
        assert (await ask(running, "PUT", "/models/aliases/small", {"model": "mine/other"})).status_code == 200
        assert (await shown(running))["aliases"] == []
        async with running.again() as later:
            listed = (await ask(later, "GET", "/models/aliases")).json()["items"]
            assert listed == [{"name": "small", "model": "mine/other", "listed": False}]
        assert (await ask(running, "DELETE", "/models/aliases/small")).status_code == 204
        assert (await ask(running, "DELETE", "/models/aliases/small")).status_code == 404
        assert (await ask(running, "PUT", "/models/aliases/small", target)).status_code == 200
        for name, model in (("auto", "mine/m"), ("a b", "mine/m"), ("mine%2Fm", "mine/m"), ("ok", "mine")):
            assert (await ask(running, "PUT", f"/models/aliases/{name}", {"model": model})).status_code == 422
        assert (await ask(running, "PUT", "/models/aliases/ok", {"model": "nobody/m"})).status_code == 404
