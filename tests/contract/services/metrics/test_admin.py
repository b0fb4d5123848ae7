"""The admin API of what was used."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import msgspec
import pytest

from shared.contracts.catalog import HealthChanged, Model, PlanCompiled
from shared.contracts.plan import Plan, Reason, encode_plan, plan_hash
from shared.contracts.usage import Exclusion, Needs, Tokens
from shared.log.facts import Facts
from shared.routing.compile import candidate_of
from shared.runtime.clock import new_id
from shared.testing.usage import attempt, usage_record

USAGE, REQUESTS = "/admin/v1/usage", "/admin/v1/requests"


@pytest.fixture
async def client(rig) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A service with: two plain requests, one that fell back, one unpriced of another key, one refused."""
    async with rig.running() as client:
        await rig.publish(
            usage_record(1),
            usage_record(2),
            usage_record(3, attempt("local/small", "cut", tokens=Tokens(input=10), cost=0), attempt("openai/gpt")),
            usage_record(4, attempt("other/x", cost=None), key_id="key-2", key_name="chat", router=None),
            usage_record(
                90_000,
                status="refused",
                attempts=(),
                provider=None,
                model=None,
                tokens=Tokens(),
                cost=0,
                key_id=None,
                key_name=None,
                router=None,
            ),
        )
        await rig.projected(client)
        yield client


async def usage(client: httpx.AsyncClient, **query: Any) -> Any:
    answer = await client.get(USAGE, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def column(answer: Any, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(item[name] for name in names) for item in answer["items"]]


async def test_everything_is_summed_once(client):
    answer = await usage(client)
    assert answer["totals"] == {
        "requests": 5,
        "succeeded": 4,
        "attempts": 5,
        "tokens": {"input": 50, "cached": 0, "cache_write": 0, "output": 20, "reasoning": 0, "total": 70},
        "cost_usd": "0.000003",
        "shadow_cost_usd": "0",
        "unpriced_requests": 1,
    }
    assert answer["items"] == [answer["totals"]]


async def test_per_provider_each_attempt_counts_where_it_was_made(client):
    answer = await usage(client, group_by="provider")
    assert [(i["provider"], i["requests"], i["tokens"]["input"], i["cost_usd"]) for i in answer["items"]] == [
        (None, 1, 0, "0"),
        ("local", 1, 10, "0"),
        ("openai", 3, 30, "0.000003"),
        ("other", 1, 10, None),
    ]
    assert answer["totals"]["requests"] == 5


async def test_groups_combine_and_only_what_was_asked_for_is_there(client):
    answer = await usage(client, group_by="key,status")
    assert column(answer, "key", "key_name", "status", "requests") == [
        (None, None, "refused", 1),
        ("key-1", "editor", "succeeded", 3),
        ("key-2", "chat", "succeeded", 1),
    ]
    assert "model" not in answer["items"][0]


async def test_time_is_grouped_by_the_hour_and_the_day(client):
    assert column(await usage(client, interval="hour"), "hour", "requests") == [
        ("2026-03-01T12:00:00.000Z", 4),
        ("2026-03-02T13:00:00.000Z", 1),
    ]
    by_day = await usage(client, interval="day", group_by="model")
    assert column(by_day, "day", "model", "requests") == [
        ("2026-03-01", "local/small", 1),
        ("2026-03-01", "openai/gpt", 3),
        ("2026-03-01", "other/x", 1),
        ("2026-03-02", None, 1),
    ]


@pytest.mark.parametrize(
    ("query", "requests"),
    [
        ({"key": "editor"}, 3),
        ({"key": "key-2"}, 1),
        ({"router": "minimum-cost"}, 3),
        ({"status": "refused"}, 1),
        ({"provider": "openai"}, 3),
        ({"model": "local/small"}, 1),
        ({"provider": "local", "model": "local/small", "key": "editor"}, 1),
        ({"from": "2026-03-02"}, 1),
        ({"to": "2026-03-01"}, 4),
        ({"to": "2026-03-02"}, 5),
        ({"from": "2026-03-01T12:00:02Z", "to": "2026-03-01T12:00:04Z"}, 2),
        ({"from": "2026-03-01T14:00:02+02:00", "to": "2026-03-01T12:00:04Z"}, 2),
        ({"from": "2026-03-05"}, 0),
    ],
)
async def test_what_is_asked_for_is_what_is_summed_and_listed(client, query, requests):
    assert (await usage(client, **query))["totals"]["requests"] == requests
    listed = await client.get(REQUESTS, params=query)
    assert len(listed.json()["items"]) == requests


async def test_a_provider_alone_holds_its_own_attempts_only(client):
    answer = await usage(client, provider="local", group_by="key")
    assert [(i["key"], i["requests"], i["attempts"], i["tokens"]["input"]) for i in answer["items"]] == [
        ("key-1", 1, 1, 10)
    ]


async def test_groups_come_in_pages_that_join_without_a_seam(client):
    whole = await usage(client, group_by="hour,model")
    items, cursor = [], None
    while True:
        page = await usage(client, group_by="hour,model", limit=1, **({"cursor": cursor} if cursor else {}))
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert items == whole["items"]
    assert len(items) == 4


async def test_requests_come_newest_first_in_pages_that_join_without_a_seam(client):
    seen, cursor = [], None
    while True:
        page = (await client.get(REQUESTS, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [usage_record(number).id for number in (90_000, 4, 3, 2, 1)]


async def test_one_request_is_shown_whole(rig):
    record = usage_record(
        1,
        attempt("a/x", "timeout", http_status=None, cost=None, credential_id="c-1", error_code="upstream_timeout"),
        attempt("b/y"),
        needs=Needs(capabilities=("tools",), input_tokens=9, output_tokens=100),
        plan_hash="abc",
        excluded=(Exclusion(provider="c", model="c/z", cause="context", value="4096"),),
        tags={"team": "red"},
        client="127.0.0.1",
    )
    async with rig.running() as client:
        await rig.publish(record)
        await rig.projected(client)
        shown = (await client.get(f"{REQUESTS}/{record.id}")).json()
    assert shown["cost_usd"] is None
    assert shown["tokens"] == {
        "input": 20,
        "cached": 0,
        "cache_write": 0,
        "output": 10,
        "reasoning": 0,
        "source": "provider",
    }
    assert [(each["model"], each["outcome"], each["cost_usd"]) for each in shown["attempts"]] == [
        ("a/x", "timeout", None),
        ("b/y", "succeeded", "0.000001"),
    ]
    assert shown["attempts"][0]["credential_id"] == "c-1"
    assert shown["needs"] == {"capabilities": ["tools"], "input_tokens": 9, "output_tokens": 100}
    assert shown["excluded"] == [{"provider": "c", "model": "c/z", "cause": "context", "value": "4096"}]
    assert (shown["plan_hash"], shown["tags"], shown["stream"]) == ("abc", {"team": "red"}, False)


async def test_a_request_is_also_found_by_the_id_that_its_caller_gave_it(rig):
    theirs = "0b0e7c1e-2f5b-4b62-9d55-6f1d3c1f3a10"
    async with rig.running() as client:
        await rig.publish(*(usage_record(number, client_request_id=theirs) for number in (1, 2)))
        await rig.projected(client)
        shown = (await client.get(f"{REQUESTS}/{theirs}")).json()
        assert (shown["id"], shown["client_request_id"]) == (usage_record(2).id, theirs)
        assert (await usage(client))["totals"]["requests"] == 2


async def test_an_unknown_request_is_not_found(client):
    answer = await client.get(f"{REQUESTS}/nope")
    assert (answer.status_code, answer.json()["code"]) == (404, "request_not_found")


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        (USAGE, {"from": "yesterday"}, "RFC 3339"),
        (USAGE, {"to": "2026-02-31"}, "RFC 3339"),
        (USAGE, {"to": "9999-12-31"}, "RFC 3339"),
        (USAGE, {"from": "2026-03-01T12:00:00"}, "RFC 3339"),
        (USAGE, {"from": "2026-03-02", "to": "2026-03-01"}, "before"),
        (USAGE, {"group_by": "colour"}, "key, provider, model, router, status, day, hour"),
        (USAGE, {"status": "lost"}, "succeeded, failed, cancelled, interrupted, refused"),
        (USAGE, {"interval": "minute"}, "'day' or 'hour'"),
        (REQUESTS, {"status": "lost"}, "succeeded"),
        (REQUESTS, {"limit": "0"}, "greater than or equal to 1"),
        (REQUESTS, {"limit": "many"}, "integer"),
    ],
)
async def test_a_bad_value_is_answered_with_what_is_allowed(client, path, query, words):
    answer = await client.get(path, params=query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("cursor", ["%%%", "eA", "e30", "WyJhIl0", "WyJhIiwiYiJd", "W10", "W251bGxd"])
@pytest.mark.parametrize(("path", "query"), [(USAGE, {"group_by": "hour"}), (REQUESTS, {})])
async def test_a_cursor_of_something_else_is_refused(client, path, query, cursor):
    answer = await client.get(path, params={**query, "cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_sums_are_exact_beyond_what_a_column_holds(rig):
    async with rig.running() as client:
        dear = 8_999_999 * 10**12 + 1
        await rig.publish(*(usage_record(number, attempt(cost=dear)) for number in range(1, 4)))
        await rig.projected(client)
        assert (await usage(client, group_by="model"))["items"][0]["cost_usd"] == "26999997.000000000003"


async def test_a_renamed_key_goes_by_its_newest_name(rig):
    async with rig.running() as client:
        await rig.publish(usage_record(2, key_name="aaa"), usage_record(1, key_name="zzz"))
        await rig.projected(client)
        assert column(await usage(client, group_by="key"), "key_name", "requests") == [("aaa", 2)]


async def test_every_route_but_health_needs_the_service_token(rig):
    service = rig.make(token="secret")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://metrics") as client:
        assert (await client.get("/healthz")).status_code == 200
        for path in (USAGE, REQUESTS, "/metrics", "/readyz"):
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, headers={"authorization": "Bearer wrong"})).status_code == 401


async def test_a_request_is_explained_from_the_log(rig):
    models = [Model(id=f"{name}/1", provider_id=f"id-{name}", provider=name, native_id="1") for name in ("a", "b")]
    reasons = (Reason("lowest_cost", 1.0, "cheap"),)
    plan = Plan(router_id="r", slug="cheap", candidates=tuple(candidate_of(model, reasons) for model in models))
    plan = msgspec.structs.replace(plan, hash=plan_hash(plan), inputs={"LR_CONFIG": 7})
    facts = Facts(rig.log, clock=rig.clock, new_id=new_id, source="router")
    compiled = PlanCompiled(router_id="r", plan_hash=plan.hash, plan=encode_plan(plan))
    unwell = HealthChanged(provider_id="id-a", provider="a", health="unhealthy", breaker="closed", epoch=1)
    await facts.publish("lr.facts.plan.r", compiled, about="plan/r")
    await facts.publish("lr.health.id-a", unwell, about="provider/id-a")
    out = Exclusion(provider="a", model="a/1", cause="unhealthy", value="unhealthy")
    one = usage_record(1, attempt("b/1"), router="cheap", plan_hash=plan.hash, excluded=(out,), inputs={"LR_HEALTH": 1})
    direct = usage_record(2, attempt("b/1"), router=None, plan_hash="of no router")
    async with rig.running() as client:
        await rig.publish(one, direct)
        await rig.projected(client)
        found = (await client.get(f"/admin/v1/requests/{one.id}")).json()["explanation"]
        assert (found["router"], found["again"], found["plan_inputs"]) == ("cheap", "same", {"LR_CONFIG": 7})
        passed_over, answered = found["candidates"]
        assert (passed_over["order"], passed_over["excluded"]["cause"]) == (None, "unhealthy")
        assert (answered["order"], answered["outcomes"]) == (1, ["succeeded"])
        assert answered["reasons"] == [{"strategy": "lowest_cost", "score": 1.0, "because": "cheap"}]
        assert (await client.get(f"/admin/v1/requests/{direct.id}")).json()["explanation"] is None
