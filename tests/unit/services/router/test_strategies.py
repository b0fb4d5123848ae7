"""The strategies, one table each: models in the order in which they belong, and what is said of them."""

from typing import Any

import pytest

from services.router.domain.strategies import STRATEGIES, lowest_cost
from shared.contracts.catalog import Model, Prices
from shared.contracts.config import AutomaticOrder, RouterSpec, Strategy
from shared.contracts.speed import Mix, Speed
from shared.routing.compile import compile_plan
from shared.routing.scoring import Evidence

USD = 10**12


def model(name: str, **fields: Any) -> Model:
    return Model(id=f"p/{name}", provider_id="p", provider="p", native_id=name, **fields)


def usd(input_: float, output: float, request: float = 0) -> Prices:
    return Prices(input=int(input_ * USD), output=int(output * USD), request=int(request * USD))


TABLES: dict[str, list[tuple[Model, str]]] = {
    "lowest_cost": [
        (model("free", prices=usd(0, 0)), "$0 per million tokens, 3 in : 1 out"),
        (model("local", local=True, prices=usd(9, 9)), "local: costs nothing"),
        (model("small", prices=usd(0.15, 0.6)), "$0.2625 per million tokens, 3 in : 1 out"),
        (model("per-request", prices=usd(0.15, 0.6, request=0.001)), "$0.5125 per million tokens, 3 in : 1 out"),
        (model("output-heavy", prices=usd(0.1, 10)), "$2.575 per million tokens, 3 in : 1 out"),
        (model("large", prices=usd(3, 15)), "$6 per million tokens, 3 in : 1 out"),
        (model("unknown"), "price unknown"),
    ],
    "highest_performance": [
        (model("flagship", performance_class=90), "class 90, as 1000 billion parameters"),
        (model("huge", parameters_b=405.0, performance_class=1), "405 billion parameters"),
        (model("large", performance_class=70), "class 70, as 215 billion parameters"),
        (model("middle", parameters_b=70.6), "70.6 billion parameters"),
        (model("light", performance_class=40), "class 40, as 21.5 billion parameters"),
        (model("tiny", parameters_b=0.135), "0.135 billion parameters"),
        (model("unknown"), "neither parameters nor class known"),
    ],
    "fastest": [
        (model("quick"), "first token in 200 ms, 100 tokens/s: 3200 ms an answer"),
        (model("whole-only"), "50 tokens/s: 6000 ms an answer"),
        (model("slow-start"), "first token in 9000 ms, 100 tokens/s: 12000 ms an answer"),
        (model("seldom"), "not measured yet"),
        (model("unmeasured"), "not measured yet"),
    ],
    "local_first": [
        (model("local", local=True), "local"),
        (model("remote"), "remote"),
    ],
    "remote_first": [
        (model("remote"), "remote"),
        (model("local", local=True), "local"),
    ],
    "subscription_first": [
        (model("plan", subscription=True), "paid by a subscription"),
        (model("api"), "no subscription"),
    ],
    "api_first": [
        (model("api"), "paid by use"),
        (model("local", local=True), "not paid by use"),
        (model("plan", subscription=True), "not paid by use"),
    ],
}
MEASURED = Evidence(
    {
        "p/quick": Speed(ttft_ms=200.0, tokens_per_s=100.0, samples=9.0),
        "p/whole-only": Speed(tokens_per_s=50.0, samples=9.0),
        "p/slow-start": Speed(ttft_ms=9_000.0, tokens_per_s=100.0, samples=9.0),
        "p/seldom": Speed(ttft_ms=1.0, tokens_per_s=900.0, samples=0.2),
    }
)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_orders_its_table_and_says_why(name: str):
    spec = RouterSpec(slug="r", name="R", order=AutomaticOrder(strategies=(Strategy(name),)))
    table = TABLES[name]
    plan = compile_plan("r", spec, [item for item, _ in reversed(table)], STRATEGIES, {}, MEASURED)
    assert [(item.model, item.reasons[0].because) for item in plan.candidates] == [
        (item.id, because) for item, because in table
    ]


def test_the_cost_is_that_of_the_routers_own_mix_once_it_has_one():
    cheap_cache = model("cheap-cache", prices=Prices(input=4 * USD, output=8 * USD, cached=USD // 10))
    cheap_input = model("cheap-input", prices=Prices(input=2 * USD, output=8 * USD))
    spec = RouterSpec(slug="r", name="R", order=AutomaticOrder(strategies=(Strategy("lowest_cost"),)))

    def first(mix: Mix | None) -> str:
        evidence = Evidence({}, mix)
        return compile_plan("r", spec, [cheap_cache, cheap_input], STRATEGIES, {}, evidence).candidates[0].native_id

    cached = Mix(input=1_000, cached=9_000, output=500, samples=100)
    assert first(None) == first(Mix(input=3_000, output=1_000, samples=100)) == "cheap-input"
    assert first(cached) == "cheap-cache"
    assert first(Mix(input=1_000, cached=9_000, output=500, samples=3)) == "cheap-input"


def test_a_mix_without_tokens_costs_nothing_and_breaks_nothing():
    assert lowest_cost.effective_usd(usd(1, 2), Mix(samples=50)) == 0.0


def test_of_equally_capable_models_the_quicker_goes_first():
    spec = RouterSpec(slug="r", name="R", order=AutomaticOrder(strategies=(Strategy("highest_performance"),)))
    models = [model(name, parameters_b=70.0) for name in ("a", "slow-start", "whole-only")]
    plan = compile_plan("r", spec, models, STRATEGIES, {}, MEASURED)
    assert [item.native_id for item in plan.candidates] == ["slow-start", "whole-only", "a"]
