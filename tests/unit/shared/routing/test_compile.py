"""Compiling plans."""

from typing import Any

import pytest

from shared.contracts.catalog import Capability, Model, Prices
from shared.contracts.config import (
    AutomaticOrder,
    ManualOrder,
    ModelFilters,
    ModelSelection,
    Range,
    RouterSpec,
    Strategy,
)
from shared.contracts.plan import MAX_CANDIDATES, LeftOut, Plan, Reason, decode_plan, encode_plan
from shared.contracts.speed import Speed
from shared.kernel.errors import ContractBroken
from shared.routing.compile import candidate_of, compile_plan, direct_plan
from shared.routing.ordering import matcher
from shared.routing.scoring import Evidence, Score

USD = 10**12
BEST = 24
"""Candidates of a class that are its best, whoever offers them."""


def model(name: str, **fields: Any) -> Model:
    provider, native = name.split("/", 1)
    return Model(id=name, provider_id=f"id-{provider}", provider=provider, native_id=native, **fields)


def by_size(item: Model, _: Evidence) -> Score:
    return Score(-(item.parameters_b or 0), f"{item.parameters_b}")


def by_price(item: Model, _: Evidence) -> Score:
    if item.prices is None:
        return Score(0, "unpriced", tier=1)
    return Score(item.prices.input / USD, f"{item.prices.input}")


KNOWN = {"size": by_size, "price": by_price}


def automatic(*strategies: Strategy | str, **fields: Any) -> RouterSpec:
    order = AutomaticOrder(strategies=tuple(Strategy(s) if isinstance(s, str) else s for s in strategies))
    return RouterSpec(slug="r", name="R", order=order, **fields)


def compiled(spec: RouterSpec, *models: Model) -> Plan:
    return compile_plan("id", spec, models, KNOWN, {"LR_CONFIG": 3, "lr_catalog": 7})


def order_of(plan: Plan) -> list[str]:
    return [candidate.model for candidate in plan.candidates]


def priced(usd: float) -> Prices:
    return Prices(input=int(usd * USD), output=int(usd * USD))


def test_the_first_strategy_decides_and_the_second_breaks_its_ties():
    plan = compiled(
        automatic("size", "price"),
        model("a/1", parameters_b=7, prices=priced(2)),
        model("b/1", parameters_b=70, prices=priced(5)),
        model("c/1", parameters_b=7, prices=priced(1)),
    )
    assert order_of(plan) == ["b/1", "c/1", "a/1"]


def test_scores_within_the_tolerance_of_the_best_are_a_tie():
    models = [
        model("a/1", parameters_b=70, prices=priced(3)),
        model("b/1", parameters_b=64, prices=priced(1)),
        model("c/1", parameters_b=60, prices=priced(0.5)),
    ]
    assert order_of(compiled(automatic(Strategy("size", 0.1), "price"), *models)) == ["b/1", "a/1", "c/1"]
    assert order_of(compiled(automatic("size", "price"), *models)) == ["a/1", "b/1", "c/1"]


def test_models_of_different_tiers_are_never_a_tie():
    plan = compiled(
        automatic(Strategy("price", 0.9), "size"),
        model("a/1", parameters_b=400),
        model("b/1", parameters_b=1, prices=priced(0)),
    )
    assert order_of(plan) == ["b/1", "a/1"]


def test_what_no_strategy_tells_apart_is_ordered_by_id():
    assert order_of(compiled(automatic("size"), model("b/1"), model("a/2"), model("a/1"))) == ["a/1", "a/2", "b/1"]


def test_every_candidate_says_why_it_stands_there():
    plan = compiled(automatic("size", "price"), model("a/1", parameters_b=7.0, prices=priced(2)))
    assert plan.candidates[0].reasons == (
        Reason("size", -7.0, "7.0"),
        Reason("price", 2.0, "2000000000000"),
    )


def test_a_manual_order_is_taken_as_it_is_and_names_what_is_not_there():
    spec = RouterSpec(slug="r", name="R", order=ManualOrder(models=("b/1", "x/gone", "a/1")))
    plan = compiled(spec, model("a/1"), model("b/1"), model("c/1"))
    assert order_of(plan) == ["b/1", "a/1"]
    assert plan.candidates[1].reasons == (Reason("manual", 2, "place 2 by hand"),)
    assert plan.left_out == (LeftOut("not_listed", 1, ("x/gone",)), LeftOut("not_selected", 1, ("c/1",)))


def test_patterns_select_and_exclude():
    spec = automatic("size", models=ModelSelection(include=("a/*", "b/x*"), exclude=("*-old",)))
    plan = compiled(spec, model("a/1"), model("a/1-old"), model("b/x1"), model("b/y"), model("ab/1"))
    assert order_of(plan) == ["a/1", "b/x1"]
    assert plan.left_out == (LeftOut("excluded", 1, ("a/1-old",)), LeftOut("not_selected", 2, ("ab/1", "b/y")))


@pytest.mark.parametrize(
    ("patterns", "name", "matches"),
    [
        (("a/b",), "a/b", True),
        (("a/b",), "a/bc", False),
        (("a.c/*",), "abc/x", False),
        (("*/gpt-4*",), "openai/gpt-4o", True),
        (("*/gpt-4*",), "openai/o1", False),
        (("a/[x]",), "a/x", False),
        (("a/?",), "a/b", False),
        (("x", "*"), "anything/at/all", True),
        ((), "a/b", False),
    ],
)
def test_only_the_star_is_special_in_a_pattern(patterns: tuple[str, ...], name: str, matches: bool):
    assert matcher(patterns)(name) is matches


@pytest.mark.parametrize(
    ("filters", "cause"),
    [
        (ModelFilters(parameters_b=Range(8, None)), "parameters_b"),
        (ModelFilters(parameters_b=Range(None, 6)), "parameters_b"),
        (ModelFilters(context=Range(9_000, None)), "context"),
        (ModelFilters(price=Range(None, 3.99)), "price"),
        (ModelFilters(capabilities=("chat", "tools")), "capabilities"),
    ],
)
def test_a_filter_leaves_out_and_says_so(filters: ModelFilters, cause: str):
    item = model("a/1", parameters_b=7, context_window=8_000, prices=Prices(input=USD, output=4 * USD))
    plan = compiled(automatic("size", filters=filters), item)
    assert plan.candidates == ()
    assert plan.left_out == (LeftOut(cause, 1, ("a/1",)),)


def test_a_closed_range_includes_its_ends():
    filters = ModelFilters(parameters_b=Range(7, 7), context=Range(8_000, 8_000), price=Range(4, 4))
    item = model("a/1", parameters_b=7, context_window=8_000, prices=Prices(input=USD, output=4 * USD))
    assert order_of(compiled(automatic("size", filters=filters), item)) == ["a/1"]


@pytest.mark.parametrize(
    "filters",
    [
        ModelFilters(parameters_b=Range(0, None)),
        ModelFilters(context=Range(0, None)),
        ModelFilters(price=Range(0, None)),
    ],
)
def test_what_is_unknown_is_left_out_where_a_bound_is_set(filters: ModelFilters):
    assert compiled(automatic("size", filters=filters), model("a/1")).candidates == ()


def test_a_local_model_costs_nothing():
    spec = automatic("size", filters=ModelFilters(price=Range(None, 0)))
    assert order_of(compiled(spec, model("a/1", local=True), model("b/1"))) == ["a/1"]


def test_causes_are_counted_and_name_a_few_examples():
    models = [model(f"a/{number}") for number in range(10)]
    plan = compiled(automatic("size", models=ModelSelection(include=("b/*",))), *models)
    assert plan.left_out == (LeftOut("not_selected", 10, ("a/0", "a/1", "a/2")),)


def test_a_plan_keeps_the_best_of_each_class_of_needs():
    chat = [model(f"a/chat-{number:03}", parameters_b=1000 - number) for number in range(100)]
    tools = [
        model(f"b/tools-{number:03}", parameters_b=500 - number, capabilities=(Capability.CHAT, Capability.TOOLS))
        for number in range(100)
    ]
    plan = compiled(automatic("size"), *chat, *tools)
    with_tools = [item for item in plan.candidates if Capability.TOOLS in item.capabilities]
    assert order_of(plan)[:BEST] == [item.id for item in chat[:BEST]]
    assert [item.model for item in with_tools] == [item.id for item in tools[:BEST]]
    assert plan.left_out == (LeftOut("beyond_limit", 152, ("a/chat-024", "a/chat-025", "a/chat-026")),)


def test_were_all_the_best_one_providers_others_would_have_places_after_them():
    models = [model(f"a/{number:03}", parameters_b=1_000 - number) for number in range(100)]
    models += [model(f"{name}/{number}", parameters_b=9 - number) for name in "bcdefg" for number in range(5)]
    plan = compiled(automatic("size"), *models)
    assert len(plan.candidates) == MAX_CANDIDATES
    after = [item.model for item in plan.candidates[BEST:]]
    assert after == ["b/0", "c/0", "d/0", "e/0", "f/0", "g/0", "b/1", "c/1"]


def test_of_too_many_equals_those_with_the_larger_shares_are_kept():
    models = [model(f"a/{number:03}") for number in range(100)]
    plan = compiled(automatic(Strategy("weighted", weights={"a/09*": 2.0, "*": 0.0})), *models)
    assert order_of(plan)[:10] == [f"a/09{number}" for number in range(10)]


def test_large_windows_are_not_pushed_out_by_better_models_with_small_ones():
    small = [model(f"a/{number:03}", parameters_b=900, context_window=8_000) for number in range(100)]
    large = model("b/large", parameters_b=1, context_window=200_000)
    assert order_of(compiled(automatic("size"), *small, large))[-1] == "b/large"


def test_equal_decisions_have_equal_hashes_whatever_they_were_made_from():
    models = [model("a/1"), model("b/1")]
    first = compile_plan("id", automatic("size"), models, KNOWN, {"LR_CONFIG": 1})
    second = compile_plan("id", automatic("size"), reversed(models), KNOWN, {"LR_CONFIG": 2})
    other = compile_plan("id", automatic("size"), models[:1], KNOWN, {"LR_CONFIG": 1})
    assert first.hash == second.hash != other.hash
    assert second.inputs == {"LR_CONFIG": 2}


def test_a_plan_reads_back_as_it_was_published():
    plan = compiled(
        automatic("size", "price"),
        model("a/1", parameters_b=7.5, prices=Prices(input=1, output=2, cached=0), price_version="p1", local=True),
        model("b/1", context_window=1, max_output=2, capabilities=(Capability.CHAT, Capability.VISION)),
    )
    assert decode_plan(encode_plan(plan)) == plan


def test_a_strategy_that_is_gone_breaks_the_contract():
    with pytest.raises(ContractBroken, match="unknown strategy 'luck': known are least_busy, price, size, weighted"):
        compiled(automatic("luck"), model("a/1"))


def test_a_direct_plan_is_its_model_and_no_router():
    item = model("a/b/c", max_output=9, prices=priced(1))
    plan = direct_plan(item)
    assert (plan.router_id, plan.slug, plan.candidates) == ("", "", (candidate_of(item),))
    assert plan.hash == direct_plan(item).hash != direct_plan(model("a/x")).hash


def test_compiling_scores_each_model_once_for_the_order_and_the_kept_once_more_for_the_reasons():
    calls = 0

    def counting(item: Model, _: Evidence) -> Score:
        nonlocal calls
        calls += 1
        return Score(0.0, "")

    models = [model(f"a/{number}") for number in range(10_000)]
    compile_plan("id", automatic("size"), models, {"size": counting}, {})
    assert calls == 10_000 + BEST


def by_then(item: Model, _: Evidence) -> Score:
    return Score(0.0, "", then=item.parameters_b or 0.0)


def test_what_no_strategy_tells_apart_is_ordered_by_what_a_score_says_besides():
    spec = automatic("then", "price")
    models = [
        model("a/dear", parameters_b=1.0, prices=priced(2)),
        model("b/slow", parameters_b=3.0, prices=priced(1)),
        model("c/quick", parameters_b=2.0, prices=priced(1)),
    ]
    plan = compile_plan("id", spec, models, {**KNOWN, "then": by_then}, {})
    assert order_of(plan) == ["c/quick", "b/slow", "a/dear"]


def test_a_spread_makes_bands_of_what_stands_before_it_and_orders_them_by_what_comes_after():
    spread = Strategy("weighted", weights={"a/*": 3.0, "*": 0.5})
    models = [
        model("a/1", parameters_b=7.0, prices=priced(2)),
        model("a/2", parameters_b=7.0, prices=priced(1)),
        model("b/1", parameters_b=9.0, prices=priced(5)),
    ]
    plan = compiled(automatic("size", spread, "price"), *models)
    assert plan.spread == "weighted"
    assert [(item.model, item.band, item.weight) for item in plan.candidates] == [
        ("b/1", 0, 0.5),
        ("a/2", 1, 3.0),
        ("a/1", 1, 3.0),
    ]
    assert plan.candidates[1].reasons[-1] == Reason("weighted", 3.0, "by a hash of the request, weight 3")


def test_a_strategy_sees_the_evidence():
    seen: list[Evidence] = []

    def looking(_: Model, evidence: Evidence) -> Score:
        seen.append(evidence)
        return Score(0.0, "")

    evidence = Evidence({}, None)
    compile_plan("id", automatic("looking"), [model("a/1"), model("a/2")], {"looking": looking}, {}, evidence)
    assert seen
    assert all(item is evidence for item in seen)


def test_a_candidate_says_how_long_its_first_token_takes_where_that_is_long():
    speeds = {name: Speed(ttft_ms=ttft) for name, ttft in (("p/a", 900.0), ("p/b", 2_300.0), ("p/c", None))}
    catalog = [model(name) for name in ("p/a", "p/b", "p/c", "p/d")]
    plan = compile_plan("id", automatic("size"), catalog, KNOWN, {}, Evidence(speeds=speeds))
    assert {candidate.model: candidate.ttft_s for candidate in plan.candidates} == {
        "p/a": None,
        "p/b": 3,
        "p/c": None,
        "p/d": None,
    }
