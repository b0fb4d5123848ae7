"""Recorded traffic through another configuration."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.router.domain.paces import MOST_SAMPLES, Paces
from services.router.domain.simulation import Simulation
from services.router.domain.strategies import STRATEGIES
from shared.contracts.catalog import Model, Prices
from shared.contracts.config import AutomaticOrder, ManualOrder, Order, RouterSpec, Strategy
from shared.contracts.plan import Plan
from shared.contracts.speed import Speed
from shared.contracts.usage import Exclusion, Needs, Tokens, UsageRecord
from shared.kernel.clock import rfc3339
from shared.routing.compile import compile_plan
from shared.testing.usage import attempt, usage_payload, usage_record

USD = 10**12
CHEAP = Model(id="a/1", provider_id="id-a", provider="a", native_id="1", prices=Prices(input=USD, output=USD))
DEAR = Model(id="b/1", provider_id="id-b", provider="b", native_id="1", prices=Prices(input=5 * USD, output=5 * USD))
UNPRICED = Model(id="c/1", provider_id="id-c", provider="c", native_id="1")
BY_COST = AutomaticOrder(strategies=(Strategy("lowest_cost"),))


def plan(order: Order, *models: Model) -> Plan:
    return compile_plan("r", RouterSpec(slug="r", name="R", order=order), models, STRATEGIES, {})


def by_hand(*names: str) -> ManualOrder:
    return ManualOrder(models=names)


def record(number: int = 1, model: str = "a/1", **fields: Any) -> UsageRecord:
    tokens = Tokens(input=1_000_000, output=1_000_000, source="provider")
    tried = attempt(model, tokens=tokens, cost=2 * USD)
    usual: dict[str, Any] = {"plan_hash": "h", "duration_ms": 500.0, "needs": Needs(capabilities=("chat",))}
    return usage_record(number, tried, **{**usual, **fields})


def simulated(before: Plan, after: Plan, *records: UsageRecord) -> Simulation:
    speeds = {"b/1": Speed(ttft_ms=100.0, tokens_per_s=1_000_000.0, samples=9)}
    simulation = Simulation("minimum-cost", before, after, speeds, {"a": "id-a", "b": "id-b", "c": "id-c"})
    simulation.take(records)
    simulation.finish()
    return simulation


def test_a_router_against_its_own_configuration_moves_nothing():
    own = plan(BY_COST, CHEAP, DEAR)
    found = simulated(own, own, *(record(number) for number in range(20)))
    assert (found.requests, found.moved, found.moves) == (20, 0, {})
    assert found.before == found.after
    assert found.after.cost == 40 * USD


def test_another_order_moves_requests_and_prices_them_there():
    found = simulated(plan(BY_COST, CHEAP, DEAR), plan(by_hand("b/1"), CHEAP, DEAR), record(1), record(2))
    assert (found.moved, dict(found.moves)) == (2, {("a/1", "b/1"): 2})
    assert (found.before.cost, found.after.cost) == (4 * USD, 20 * USD)
    assert found.after.latencies_ms == [1_100.0, 1_100.0]
    assert found.estimated == {"mean": 2}
    assert found.keys["editor"].moved == 2


def test_how_long_a_moved_request_would_have_taken_is_drawn_from_the_new_models_own_answers():
    own, other = plan(BY_COST, CHEAP, DEAR), plan(by_hand("b/1"), CHEAP, DEAR)
    asked = [record(number) for number in range(200)]
    quick = [
        record(1_000 + number, "b/1", router="another", duration_ms=400.0 if number % 4 else 4_000.0)
        for number in range(100)
    ]
    found = simulated(own, other, *quick, *asked)
    assert (found.requests, found.moved, found.estimated) == (200, 200, {"distribution": 200})
    assert set(found.after.latencies_ms) == {400.0, 4_000.0}
    slow = found.after.latencies_ms.count(4_000.0) / 200
    assert 0.15 < slow < 0.35, "in the share in which they were"
    again = simulated(own, other, *asked, *quick)
    assert again.after.latencies_ms == found.after.latencies_ms, "whatever the order, the same"


def test_an_answer_after_failures_or_of_nothing_says_nothing_of_a_models_pace():
    paces = Paces({})
    twice = usage_record(1, attempt("a/1", "timeout"), attempt("b/1", tokens=Tokens(output=9)), duration_ms=900.0)
    for item in (twice, record(2, "b/1", tokens=Tokens()), record(3, "b/1", status="failed")):
        paces.take(item)
    assert paces.samples == {}
    paces.take(record(4, "b/1", stream=True, ttft_ms=100.0, duration_ms=1_100.0))
    assert paces.samples == {"b/1": [(100.0, 0.001)]}
    assert paces.estimate("b/1", 5, "x") is None, "one answer is no distribution"


def test_of_very_many_answers_a_bounded_sample_is_kept_in_which_late_ones_are_too():
    paces = Paces({})
    for number in range(MOST_SAMPLES * 3):
        paces.take(record(number, "b/1", duration_ms=float(number)))
    kept = [each for _, each in paces.samples["b/1"]]
    assert len(kept) == MOST_SAMPLES
    assert sum(1 for each in kept if each * 1_000_000 >= MOST_SAMPLES * 2) > MOST_SAMPLES / 5


def test_what_has_no_price_or_no_speed_is_counted_and_not_guessed():
    found = simulated(plan(BY_COST, CHEAP), plan(by_hand("c/1"), UNPRICED), record())
    assert (found.after.cost, found.after.unpriced, found.after.latencies_ms, found.estimated) == (0, 1, [], {})


def test_a_request_that_no_model_could_take_is_refused():
    needs = Needs(capabilities=("chat", "vision"))
    found = simulated(plan(BY_COST, CHEAP), plan(by_hand("c/1"), UNPRICED), record(needs=needs))
    assert (found.before.refused, found.after.refused, found.moved) == (1, 1, 0)


def test_a_provider_that_was_out_is_out_in_both():
    out = (Exclusion(provider="a", model="a/1", cause="unhealthy", value="unhealthy"),)
    own = plan(BY_COST, CHEAP, DEAR)
    found = simulated(own, own, record(model="b/1", excluded=out))
    assert (found.moved, found.after.cost) == (0, 2 * USD)


def test_failures_before_the_answer_stay_where_the_model_stays_and_go_where_it_goes():
    failed = attempt("a/1", "server_error", tokens=Tokens(input=7, source="estimated"), cost=7)
    answered = attempt("b/1", tokens=Tokens(input=1_000_000, source="provider"), cost=5 * USD)
    fell_back = usage_record(1, failed, answered, plan_hash="h", needs=Needs(capabilities=("chat",)))
    found = simulated(plan(by_hand("b/1"), DEAR), plan(BY_COST, CHEAP), fell_back)
    assert (found.before.cost, found.after.cost) == (5 * USD + 7, USD)


def test_a_refusal_without_a_choice_is_only_counted():
    own = plan(BY_COST, CHEAP)
    found = simulated(own, own, record(plan_hash=None))
    assert (found.requests, found.skipped) == (0, {"refused before a model was chosen": 1})


@pytest.fixture
async def api(house: Any) -> AsyncGenerator[httpx.AsyncClient, None]:
    transport = httpx.ASGITransport(house.service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://router") as client:
        yield client


async def test_the_traffic_of_a_time_is_found_in_the_log_and_answered(api: httpx.AsyncClient, house: Any):
    await house.catalog("a", CHEAP)
    await house.catalog("b", DEAR)
    await house.plan_with("minimum-cost", "a/1", "b/1")
    now = datetime.now(UTC)
    for number in range(40):
        moment = now - timedelta(hours=40 - number)
        one = record(number, router="minimum-cost", time=rfc3339(moment))
        payload = usage_payload([one], position=f"0:{number}")
        await house.log.publish("lr.usage.gateway-1", payload, message_id=f"0:{number}")
    other = {"name": "Other", "order": {"mode": "manual", "models": ["b/1"]}}
    body = {"router": "minimum-cost", "configuration": other, "last": "10h"}
    answer = await api.post("/admin/v1/simulate", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["requests"], found["moved"]) == (9, 9)
    assert found["moves"] == [{"from": "a/1", "to": "b/1", "requests": 9}]
    assert (found["before"]["cost_usd"], found["after"]["cost_usd"]) == ("18", "90")
    own = await api.post("/admin/v1/simulate", json={"router": "minimum-cost", "last": "7d"})
    assert (own.json()["requests"], own.json()["moved"]) == (40, 0)


@pytest.mark.parametrize(
    ("body", "status"),
    [({"router": "nope"}, 404), ({"router": "minimum-cost", "last": "7w"}, 422), ({}, 422)],
)
async def test_what_cannot_be_simulated_is_said(api: httpx.AsyncClient, body: dict[str, Any], status: int):
    assert (await api.post("/admin/v1/simulate", json=body)).status_code == status
