"""The strategies, one table each: models in the order in which they belong, and what is said of them."""

from typing import Any

import pytest

from services.router.domain.strategies import STRATEGIES
from shared.contracts.catalog import Model, Prices
from shared.contracts.config import AutomaticOrder, RouterSpec, Strategy
from shared.routing.compile import compile_plan

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
    "local_first": [
        (model("local", local=True), "local"),
        (model("remote"), "remote"),
    ],
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_orders_its_table_and_says_why(name: str):
    spec = RouterSpec(slug="r", name="R", order=AutomaticOrder(strategies=(Strategy(name),)))
    table = TABLES[name]
    plan = compile_plan("r", spec, [item for item, _ in reversed(table)], STRATEGIES, {})
    assert [(item.model, item.reasons[0].because) for item in plan.candidates] == [
        (item.id, because) for item, because in table
    ]
