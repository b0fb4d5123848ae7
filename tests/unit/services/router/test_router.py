"""What may happen to a router."""

import math
from typing import Any

import msgspec
import pytest

from services.router.domain.defaults import DEFAULTS
from services.router.domain.router import (
    ROUTER,
    CreateRouter,
    DeleteRouter,
    ReplaceRouter,
    problem_of,
)
from shared.contracts.config import (
    AutomaticOrder,
    Fallback,
    ManualOrder,
    ModelFilters,
    ModelSelection,
    Range,
    RouterCreated,
    RouterDeleted,
    RouterReplaced,
    RouterSpec,
    Strategy,
)
from shared.kernel.ids import RouterId
from shared.testing.deciders import given

ID = RouterId("01990000-0000-7000-8000-000000000000")
SPEC = RouterSpec(slug="cheap", name="Cheap", order=AutomaticOrder(strategies=(Strategy("lowest_cost"),)))
CREATED = RouterCreated(router_id=ID, spec=SPEC)
DELETED = RouterDeleted(router_id=ID)


def changed(**fields: Any) -> RouterSpec:
    return msgspec.structs.replace(SPEC, **fields)


def automatic(*strategies: Strategy) -> RouterSpec:
    return changed(order=AutomaticOrder(strategies=strategies))


def manual(*models: str) -> RouterSpec:
    return changed(order=ManualOrder(models=models))


def test_a_router_is_created():
    given(ROUTER).when(CreateRouter(ID, SPEC)).then(CREATED)


def test_a_router_is_created_once():
    given(ROUTER, CREATED).when(CreateRouter(ID, SPEC)).then_refused("router_exists")


def test_a_router_that_was_deleted_is_not_created_again():
    given(ROUTER, CREATED, DELETED).when(CreateRouter(ID, SPEC)).then_refused("router_deleted")


def test_a_router_is_replaced():
    spec = changed(name="Cheaper")
    given(ROUTER, CREATED).when(ReplaceRouter(spec)).then(RouterReplaced(router_id=ID, spec=spec))


def test_replacing_a_router_by_itself_is_no_event():
    given(ROUTER, CREATED).when(ReplaceRouter(SPEC)).then_nothing()


@pytest.mark.parametrize("command", [ReplaceRouter(SPEC), DeleteRouter()])
def test_what_is_not_there_cannot_be_changed(command: Any):
    given(ROUTER).when(command).then_refused("router_not_found")
    given(ROUTER, CREATED, DELETED).when(command).then_refused("router_not_found")


def test_the_slug_of_a_router_in_use_stays():
    given(ROUTER, CREATED).when(ReplaceRouter(changed(slug="other"), ("key a",))).then_refused("router_in_use")


def test_anything_else_about_a_router_in_use_may_change():
    spec = changed(name="Cheaper")
    given(ROUTER, CREATED).when(ReplaceRouter(spec, ("key a",))).then(RouterReplaced(router_id=ID, spec=spec))


def test_the_slug_of_an_unused_router_may_change():
    spec = changed(slug="other")
    given(ROUTER, CREATED).when(ReplaceRouter(spec)).then(RouterReplaced(router_id=ID, spec=spec))


def test_a_router_is_deleted():
    given(ROUTER, CREATED).when(DeleteRouter()).then(DELETED)


def test_a_router_in_use_is_not_deleted():
    given(ROUTER, CREATED).when(DeleteRouter(("key a",))).then_refused("router_in_use")


def test_a_router_holds_its_slug_until_it_is_deleted():
    state = ROUTER.evolve(ROUTER.initial(), CREATED)
    assert ROUTER.name_of(ROUTER.initial()) is None
    assert ROUTER.name_of(state) == "cheap"
    assert ROUTER.name_of(ROUTER.evolve(state, RouterReplaced(router_id=ID, spec=changed(slug="other")))) == "other"
    assert ROUTER.name_of(ROUTER.evolve(state, DELETED)) is None


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        (changed(slug=""), "invalid_slug"),
        (changed(slug="Upper"), "invalid_slug"),
        (changed(slug="-x"), "invalid_slug"),
        (changed(slug="x-"), "invalid_slug"),
        (changed(slug="a/b"), "invalid_slug"),
        (changed(slug="x" * 64), "invalid_slug"),
        (changed(slug="a\n"), "invalid_slug"),
        (changed(name="  "), "invalid_name"),
        (changed(name="a\nb"), "invalid_name"),
        (changed(name="x" * 201), "invalid_name"),
        (automatic(), "empty_order"),
        (automatic(Strategy("luck")), "unknown_strategy"),
        (automatic(Strategy("lowest_cost"), Strategy("lowest_cost")), "repeated_strategy"),
        (automatic(Strategy("lowest_cost", -0.1)), "invalid_tolerance"),
        (automatic(Strategy("lowest_cost", 1.0)), "invalid_tolerance"),
        (automatic(Strategy("lowest_cost", math.nan)), "invalid_tolerance"),
        (manual(), "empty_order"),
        (manual("a/b", "a/b"), "repeated_model"),
        (manual("gpt-4o"), "invalid_model"),
        (manual("/x"), "invalid_model"),
        (manual(*(f"a/{number}" for number in range(33))), "order_too_long"),
        (changed(models=ModelSelection(include=())), "empty_selection"),
        (changed(models=ModelSelection(exclude=("",))), "invalid_pattern"),
        (changed(models=ModelSelection(include=("x",) * 1_001)), "too_many_patterns"),
        (changed(filters=ModelFilters(parameters_b=Range(2, 1))), "invalid_range"),
        (changed(filters=ModelFilters(context=Range(-1, None))), "invalid_range"),
        (changed(filters=ModelFilters(price=Range(None, math.inf))), "invalid_range"),
        (changed(filters=ModelFilters(capabilities=("flight",))), "unknown_capability"),
        (changed(fallback=Fallback(max_attempts=0)), "invalid_fallback"),
        (changed(fallback=Fallback(max_attempts=7)), "invalid_fallback"),
        (changed(fallback=Fallback(max_attempts_per_candidate=4)), "invalid_fallback"),
        (changed(fallback=Fallback(idle_ms=0)), "invalid_fallback"),
        (changed(fallback=Fallback(backoff_ms=5_001)), "invalid_fallback"),
        (changed(fallback=Fallback(short_retry_after_ms=-1)), "invalid_fallback"),
        (changed(fallback=Fallback(retry_share=1.1)), "invalid_fallback"),
        (automatic(Strategy("lowest_cost", weights={"*": 1.0})), "invalid_weight"),
        (automatic(Strategy("weighted", weights={"*": -1.0})), "invalid_weight"),
        (automatic(Strategy("weighted", weights={"": 1.0})), "invalid_weight"),
        (automatic(Strategy("weighted"), Strategy("least_busy")), "two_spreads"),
    ],
)
def test_a_specification_that_cannot_work_is_refused(spec: RouterSpec, code: str):
    given(ROUTER).when(CreateRouter(ID, spec)).then_refused(code)
    given(ROUTER, CREATED).when(ReplaceRouter(spec)).then_refused(code)


def test_a_refusal_says_what_is_allowed():
    problem = problem_of(automatic(Strategy("luck")))
    assert problem is not None
    assert problem.status == 422
    assert problem.message == (
        "order.strategies[0].name: 'luck' is unknown, allowed are api_first, fastest, highest_performance, least_busy, "
        "local_first, lowest_cost, remote_first, subscription_first, weighted"
    )


def test_a_name_that_makes_no_slug_asks_for_one():
    problem = problem_of(changed(name="日本", slug=""))
    assert problem is not None
    assert problem.message.startswith("slug: none can be made of the name '日本', give one: ")


@pytest.mark.parametrize(
    "spec",
    [
        manual("openrouter/meta/llama-3"),
        changed(slug="a"),
        changed(slug="7-b-" + "x" * 59),
        changed(filters=ModelFilters(parameters_b=Range(1, 1), capabilities=("tools",))),
        automatic(Strategy("local_first"), Strategy("highest_performance", 0.99)),
    ],
)
def test_a_specification_that_works_is_taken(spec: RouterSpec):
    assert problem_of(spec) is None


@pytest.mark.parametrize("default", DEFAULTS, ids=lambda default: default.spec.slug)
def test_the_default_routers_are_as_any_other(default: CreateRouter):
    given(ROUTER).when(default).then(RouterCreated(router_id=default.id, spec=default.spec, default=True))
