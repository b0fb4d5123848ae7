"""The admin API's routers."""

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from services.router.app import build
from services.router.domain.defaults import DEFAULTS
from services.router.settings import RouterSettings
from shared.contracts.catalog import Model, Prices
from shared.contracts.config import KeyCreated, KeyOptions, KeyValue, Target
from shared.log.memory import MemoryLog

MINIMUM_COST = DEFAULTS[0].id
ROUTERS = "/admin/v1/routers"
BY_COST: dict[str, Any] = {"mode": "automatic", "strategies": [{"name": "lowest_cost"}]}
REFRESHED = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
async def api(house: Any) -> AsyncGenerator[httpx.AsyncClient, None]:
    headers = {"x-localrouter-actor": "tester"}
    transport = httpx.ASGITransport(house.service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://router", headers=headers) as client:
        yield client


async def created(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post(ROUTERS, json={"name": "Fast & Cheap", "order": BY_COST} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def use(house: Any, slug: str) -> None:
    """Let a key use the router."""
    value = KeyValue(digest=b"d", pepper_id="p", prefix="lr-", last4="wxyz")
    options = KeyOptions(name="my-app-1", target=Target(router=slug))
    await house.write("lr.config.key.1", KeyCreated(key_id="1", value=value, options=options))


async def test_a_router_needs_no_more_than_a_name_and_an_order(api: httpx.AsyncClient):
    answer = await api.post(ROUTERS, json={"name": "Fast & Cheap", "order": BY_COST})
    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == f"{ROUTERS}/{body['id']}"
    assert body == {
        "id": body["id"],
        "slug": "fast-cheap",
        "name": "Fast & Cheap",
        "models": {"include": ["*"], "exclude": []},
        "filters": {
            "parameters_b": {"min": None, "max": None},
            "context": {"min": None, "max": None},
            "price": {"min": None, "max": None},
            "capabilities": [],
        },
        "order": {"mode": "automatic", "strategies": [{"name": "lowest_cost", "tolerance": 0.0, "weights": {}}]},
        "affinity": False,
        "fallback": {
            "max_attempts": 6,
            "max_attempts_per_candidate": 3,
            "connect_ms": 5000,
            "first_token_ms": 10000,
            "first_token_slow_ms": 120000,
            "idle_ms": 30000,
            "total_ms": 600000,
            "backoff_ms": 300,
            "short_retry_after_ms": 2000,
            "retry_share": 0.2,
        },
        "on_cut": "error",
        "default": False,
        "version": 1,
    }


async def test_what_was_written_is_read_at_once_by_slug_and_by_id(api: httpx.AsyncClient):
    body = await created(api)
    for name in (body["slug"], body["id"]):
        answer = await api.get(f"{ROUTERS}/{name}")
        assert (answer.status_code, answer.json(), answer.headers["etag"]) == (200, body, '"1"')


async def test_what_is_read_can_be_written_back(api: httpx.AsyncClient):
    body = await created(api)
    written = {name: value for name, value in body.items() if name not in ("id", "default", "version")}
    answer = await api.put(f"{ROUTERS}/{body['id']}", json=written)
    assert (answer.status_code, answer.json()) == (200, body)


async def test_the_default_routers_are_listed_and_may_be_edited(api: httpx.AsyncClient):
    listed = (await api.get(ROUTERS)).json()
    assert [(item["slug"], item["name"], item["default"]) for item in listed["items"]] == [
        ("maximum-performance", "Maximum Performance", True),
        ("minimum-cost", "Minimum Cost", True),
    ]
    answer = await api.put(f"{ROUTERS}/minimum-cost", json={"name": "Cheapest", "order": BY_COST})
    assert (answer.status_code, answer.json()["slug"], answer.json()["version"]) == (200, "minimum-cost", 2)


async def test_a_default_router_is_restored_as_it_was_at_the_first_start(api: httpx.AsyncClient):
    before = (await api.get(f"{ROUTERS}/minimum-cost")).json()
    edited = await api.put(f"{ROUTERS}/minimum-cost", json={"name": "Mine", "order": BY_COST, "affinity": True})
    assert edited.json()["name"] == "Mine"
    restored = await api.post(f"{ROUTERS}/minimum-cost/restore-default")
    assert restored.status_code == 200
    assert {**restored.json(), "version": 0} == {**before, "version": 0}
    assert restored.json()["version"] > before["version"]


async def test_a_router_that_is_no_default_has_none_to_restore(api: httpx.AsyncClient):
    await created(api)
    refused = await api.post(f"{ROUTERS}/fast-cheap/restore-default")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_a_default")


async def test_a_list_is_paged(api: httpx.AsyncClient):
    first = (await api.get(ROUTERS, params={"limit": 1})).json()
    second = (await api.get(ROUTERS, params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert [item["slug"] for item in first["items"] + second["items"]] == ["maximum-performance", "minimum-cost"]
    assert second["next_cursor"] is None


async def test_a_change_against_an_older_version_is_refused(api: httpx.AsyncClient):
    await created(api)
    url, body = f"{ROUTERS}/fast-cheap", {"name": "Other", "order": BY_COST}
    assert (await api.put(url, json=body, headers={"if-match": '"1"'})).status_code == 200
    answer = await api.put(url, json=body | {"name": "Third"}, headers={"if-match": '"1"'})
    assert (answer.status_code, answer.json()["code"]) == (412, "version_conflict")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await api.delete(url, headers={"if-match": '"1"'})).status_code == 412


async def test_a_slug_is_taken_once(api: httpx.AsyncClient):
    await created(api)
    answer = await api.post(ROUTERS, json={"name": "fast cheap", "order": BY_COST})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")


async def test_creating_again_with_the_same_idempotency_key_creates_nothing_and_shows_what_is_there(
    api: httpx.AsyncClient,
):
    request = {"json": {"name": "Mine", "order": BY_COST}, "headers": {"idempotency-key": "k-1"}}
    first = await api.post(ROUTERS, **request)
    second = await api.post(ROUTERS, **request)
    assert (first.status_code, second.status_code) == (201, 409)
    assert (second.json()["code"], second.json()["resource"]) == ("router_exists", first.json())


async def test_a_deleted_router_is_gone_and_its_slug_is_free(api: httpx.AsyncClient):
    await created(api)
    assert (await api.delete(f"{ROUTERS}/fast-cheap")).status_code == 204
    assert (await api.get(f"{ROUTERS}/fast-cheap")).status_code == 404
    await created(api)


async def test_a_router_in_use_is_not_deleted_and_its_users_are_named(api: httpx.AsyncClient, house: Any):
    body = await created(api)
    await use(house, "fast-cheap")
    renamed = await api.put(f"{ROUTERS}/{body['id']}", json={"name": "N", "slug": "other", "order": BY_COST})
    assert (renamed.status_code, renamed.json()["code"]) == (409, "router_in_use")
    answer = await api.delete(f"{ROUTERS}/fast-cheap")
    assert answer.status_code == 409
    assert answer.json()["code"] == "router_in_use"
    assert answer.json()["used_by"] == ["key my-app-1"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/preview")], ids=lambda part: part or "-"
)
async def test_a_router_that_is_not_there_is_404(api: httpx.AsyncClient, method: str, path: str):
    body = {"name": "x", "order": BY_COST} if method == "PUT" else None
    answer = await api.request(method, f"{ROUTERS}/nope{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "router_not_found")


@pytest.mark.parametrize(
    ("body", "code", "names"),
    [
        ({"name": "x"}, "invalid_request", "body.order"),
        ({"name": "x", "order": BY_COST, "limits": []}, "invalid_request", "body.limits"),
        (
            {"name": "x", "order": BY_COST, "fallback": {"max_tries": 2}},
            "invalid_request",
            "allowed are max_attempts, ",
        ),
        ({"name": "x", "order": BY_COST | {"strategy": 1}}, "invalid_request", "allowed are mode, strategies"),
        ({"name": "x", "order": {"mode": "random"}}, "invalid_request", "body.order"),
        ({"name": "x", "order": BY_COST | {"models": []}}, "invalid_request", "models"),
        ({"name": "x", "order": BY_COST, "on_cut": "panic"}, "invalid_request", "body.on_cut"),
        ({"name": "x", "order": BY_COST, "filters": {"price": {"max": "lots"}}}, "invalid_request", "filters.price"),
        ({"name": "!!!", "order": BY_COST}, "invalid_slug", "slug"),
        ({"name": "x", "order": {"mode": "automatic", "strategies": [{"name": "luck"}]}}, "unknown_strategy", "luck"),
        ({"name": "x", "order": {"mode": "automatic", "strategies": []}}, "empty_order", "lowest_cost"),
        ({"name": "x", "order": {"mode": "manual", "models": []}}, "empty_order", "order.models"),
        ({"name": "x", "order": {"mode": "manual", "models": ["no/such"]}}, "unknown_model", "no/such"),
    ],
)
@pytest.mark.parametrize("path", ["", "/preview"])
async def test_a_body_that_cannot_be_is_422_and_says_what_is_wrong(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], code: str, names: str
):
    answer = await api.post(ROUTERS + path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert names in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_that_is_not_json_is_422(api: httpx.AsyncClient):
    answer = await api.post(ROUTERS, content=b"{", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_manual_order_takes_what_a_fresh_catalog_lists_and_what_a_stale_one_may(
    api: httpx.AsyncClient, house: Any
):
    await house.catalog("fresh", "a", refreshed_at=REFRESHED)
    await house.catalog("stale", "a", refreshed_at=REFRESHED, stale=True)
    await house.plan_with("minimum-cost", "fresh/a", "stale/a")
    order = {"mode": "manual", "models": ["stale/gone", "fresh/a"]}
    assert (await api.post(ROUTERS, json={"name": "ok", "order": order})).status_code == 201
    answer = await api.post(ROUTERS, json={"name": "no", "order": order | {"models": ["fresh/gone"]}})
    assert answer.status_code == 422
    assert answer.json()["models"] == ["fresh/gone"]


async def test_a_preview_shows_places_reasons_prices_and_what_was_left_out(
    api: httpx.AsyncClient, house: Any, make_model: Callable[..., Model], usd: Callable[[float], Prices]
):
    await house.catalog("p", make_model("p/dear", prices=usd(2.5)), make_model("p/cheap", prices=usd(0.1)))
    await house.plan_with("minimum-cost", "p/cheap", "p/dear")
    shown = (await api.get(f"{ROUTERS}/minimum-cost/preview")).json()
    assert [(item["place"], item["model"], item["prices"]["input"]) for item in shown["candidates"]] == [
        (1, "p/cheap", "0.1"),
        (2, "p/dear", "2.5"),
    ]
    assert shown["candidates"][0]["reasons"][0] == {
        "strategy": "lowest_cost",
        "score": 0.1,
        "because": "$0.1 per million tokens, 3 in : 1 out",
    }
    assert shown["hash"] == (await house.plans())["minimum-cost"].hash
    unsaved = {"name": "x", "order": BY_COST, "filters": {"price": {"max": 1}}}
    shown = (await api.post(f"{ROUTERS}/preview", json=unsaved)).json()
    assert [item["model"] for item in shown["candidates"]] == ["p/cheap"]
    assert shown["left_out"] == [{"cause": "price", "count": 1, "examples": ["p/dear"]}]
    assert len((await api.get(ROUTERS)).json()["items"]) == 2


async def test_a_frozen_router_says_so_when_it_is_to_be_changed(api: httpx.AsyncClient, house: Any):
    await house.log.publish(f"lr.config.router.{MINIMUM_COST}", b"not an event", message_id="1")
    answer = await api.put(f"{ROUTERS}/minimum-cost", json={"name": "Cheapest", "order": BY_COST})
    assert (answer.status_code, answer.json()["code"]) == (409, "router_frozen")


async def test_what_was_done_carries_the_name_of_who_asked(api: httpx.AsyncClient, house: Any):
    body = await created(api)
    events = [item.event async for item in house.log.read("LR_CONFIG", f"lr.config.router.{body['id']}")]
    assert [(event.actor, event.source, event.type) for event in events] == [("tester", "router", "router.created")]


async def test_health_readiness_and_metrics_are_served(api: httpx.AsyncClient, house: Any):
    await house.plan_with("minimum-cost")
    assert (await api.get("/healthz")).status_code == 200
    assert (await api.get("/readyz")).json() == {"status": "ready", "reasons": []}
    assert "localrouter_plans_published_total" in (await api.get("/metrics")).text


async def test_without_the_service_token_only_health_is_served():
    service = build(RouterSettings(host="127.0.0.1", port=0), log=MemoryLog(), token="secret")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://router") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get(ROUTERS)).status_code == 401
        answer = await client.get("/readyz", headers={"authorization": "Bearer secret"})
        assert answer.status_code == 503
        assert answer.json()["reasons"] == [
            "configuration has not started",
            "the plan compiler has not started",
        ]
