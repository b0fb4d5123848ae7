"""Choosing from a plan."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from shared.contracts.catalog import Capability, Model
from shared.contracts.config import Fallback
from shared.contracts.plan import Plan
from shared.contracts.usage import Exclusion, Needs
from shared.routing.choose import Warm, choose
from shared.routing.compile import candidate_of, direct_plan
from shared.routing.health import ProviderHealth

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 5, 1, 13, tzinfo=UTC)
CHAT = Needs(capabilities=("chat",), input_tokens=10)


def model(name: str, **fields: object) -> Model:
    provider, native = name.split("/")
    return Model(id=name, provider_id=f"id-{provider}", provider=provider, native_id=native, **fields)  # pyright: ignore[reportArgumentType]


def plan(*models: Model) -> Plan:
    return Plan(router_id="r", slug="r", candidates=tuple(candidate_of(item) for item in models))


def names(chosen: tuple[object, ...]) -> list[str]:
    return [candidate.model for candidate in chosen]  # pyright: ignore[reportAttributeAccessIssue]


A, B, C = model("a/1"), model("b/1"), model("c/1")


def test_without_any_health_the_order_of_the_plan_stands():
    choice = choose(plan(A, B, C), CHAT, {}, now=NOW)
    assert names(choice.order) == ["a/1", "b/1", "c/1"]
    assert choice.excluded == ()


def test_degraded_comes_after_healthy_and_half_open_last():
    health = {"id-a": ProviderHealth("healthy", "half_open"), "id-b": ProviderHealth("degraded")}
    assert names(choose(plan(A, B, C), CHAT, health, now=NOW).order) == ["c/1", "b/1", "a/1"]


@pytest.mark.parametrize(
    ("state", "cause", "value"),
    [
        (ProviderHealth("unhealthy"), "unhealthy", "unhealthy"),
        (ProviderHealth("healthy", "open"), "breaker_open", "open"),
        (ProviderHealth("unhealthy", "open"), "breaker_open", "open"),
        (ProviderHealth(cool_until=NOW + timedelta(seconds=90)), "cooling", "2026-05-01T12:01:30.000Z"),
    ],
)
def test_a_provider_in_trouble_is_left_out_and_the_choice_says_why(state: ProviderHealth, cause: str, value: str):
    choice = choose(plan(A, B), CHAT, {"id-a": state}, now=NOW)
    assert names(choice.order) == ["b/1"]
    assert choice.excluded == (Exclusion(provider="a", model="a/1", cause=cause, value=value),)


def test_a_provider_that_has_cooled_down_is_back():
    health = {"id-a": ProviderHealth(cool_until=NOW)}
    assert names(choose(plan(A), CHAT, health, now=NOW).order) == ["a/1"]


def test_with_every_provider_in_trouble_the_order_is_empty_and_each_is_named():
    health = {"id-a": ProviderHealth("unhealthy"), "id-b": ProviderHealth(breaker="open")}
    choice = choose(plan(A, B), CHAT, health, now=NOW)
    assert choice.order == ()
    assert [item.cause for item in choice.excluded] == ["unhealthy", "breaker_open"]


@pytest.mark.parametrize(
    ("fields", "needs", "cause", "value"),
    [
        ({}, Needs(capabilities=("chat", "tools")), "capabilities", "tools"),
        ({"capabilities": (Capability.EMBEDDING,)}, Needs(capabilities=("completion",)), "capabilities", "completion"),
        ({"context_window": 100}, Needs(input_tokens=90, output_tokens=11), "context_window", "100"),
        ({"context_window": 100}, Needs(input_tokens=101), "context_window", "100"),
        ({"max_output": 10}, Needs(output_tokens=11), "max_output", "10"),
    ],
)
def test_a_model_that_cannot_do_it_is_left_out(fields: dict[str, int], needs: Needs, cause: str, value: str):
    choice = choose(plan(model("a/1", **fields)), needs, {}, now=NOW)
    assert choice.order == ()
    assert [(item.cause, item.value) for item in choice.excluded] == [(cause, value)]


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"capabilities": (Capability.CHAT, Capability.TOOLS)}, Needs(capabilities=("chat", "tools"))),
        ({"capabilities": (Capability.CHAT,)}, Needs(capabilities=("completion",))),
        ({"capabilities": (Capability.COMPLETION,)}, Needs(capabilities=("completion",))),
        ({"context_window": 100}, Needs(input_tokens=90, output_tokens=10)),
        ({"max_output": 10}, Needs(output_tokens=10)),
        ({}, Needs(input_tokens=10**9, output_tokens=10**9)),
    ],
)
def test_a_model_that_just_fits_or_whose_size_is_unknown_is_let_through(fields: dict[str, object], needs: Needs):
    assert len(choose(plan(model("a/1", **fields)), needs, {}, now=NOW).order) == 1


def test_a_key_bound_to_one_model_leaves_its_fitness_to_the_vendor():
    direct = direct_plan(model("a/1", context_window=10))
    assert names(choose(direct, Needs(capabilities=("tools",), input_tokens=99), {}, now=NOW).order) == ["a/1"]


def test_a_key_bound_to_one_model_is_still_kept_from_an_unhealthy_provider():
    choice = choose(direct_plan(A), CHAT, {"id-a": ProviderHealth("unhealthy")}, now=NOW)
    assert choice.order == ()
    assert [item.cause for item in choice.excluded] == ["unhealthy"]


def test_what_no_attempt_could_have_reached_is_not_named():
    few = Plan(
        router_id="r",
        slug="r",
        candidates=tuple(candidate_of(item) for item in (A, B, C)),
        fallback=Fallback(max_attempts=2),
    )
    assert choose(few, CHAT, {"id-c": ProviderHealth("unhealthy")}, now=NOW).excluded == ()
    assert len(choose(few, CHAT, {"id-b": ProviderHealth("unhealthy")}, now=NOW).excluded) == 1


def spread(how: str, *items: tuple[Model, int, float]) -> Plan:
    candidates = tuple(
        msgspec.structs.replace(candidate_of(item), band=band, weight=weight) for item, band, weight in items
    )
    return Plan(router_id="r", slug="r", candidates=candidates, spread=how)  # pyright: ignore[reportArgumentType]


def test_weighted_gives_each_its_share_and_the_same_request_the_same_order():
    weighted = spread("weighted", (A, 0, 3.0), (B, 0, 1.0), (C, 0, 0.0))
    orders = [names(choose(weighted, CHAT, {}, now=NOW, request_id=str(number)).order) for number in range(4_000)]
    first = [order[0] for order in orders]
    assert 0.72 < first.count("a/1") / len(first) < 0.78
    assert first.count("c/1") == 0
    assert orders == [
        names(choose(weighted, CHAT, {}, now=NOW, request_id=str(number)).order) for number in range(4_000)
    ]


def test_a_lost_candidate_moves_only_its_own_requests():
    weighted = spread("weighted", (A, 0, 1.0), (B, 0, 1.0), (C, 0, 1.0))
    for number in range(200):
        whole = names(choose(weighted, CHAT, {}, now=NOW, request_id=str(number)).order)
        without = choose(weighted, CHAT, {"id-a": ProviderHealth("unhealthy")}, now=NOW, request_id=str(number))
        assert names(without.order) == [name for name in whole if name != "a/1"]


def test_least_busy_takes_the_one_with_fewest_requests_in_flight_within_a_band_and_says_by_what():
    busy = spread("least_busy", (A, 0, 1.0), (B, 0, 1.0), (C, 1, 1.0))
    choice = choose(busy, CHAT, {}, now=NOW, in_flight={"a/1": 2, "b/1": 1, "x/1": 9})
    assert names(choice.order) == ["b/1", "a/1", "c/1"]
    assert choice.busy == {"a/1": 2, "b/1": 1}
    assert names(choose(busy, CHAT, {}, now=NOW).order) == ["a/1", "b/1", "c/1"]


def test_the_model_that_holds_the_conversation_goes_first_while_it_is_healthy():
    held = choose(plan(A, B, C), CHAT, {}, now=NOW, held="c/1")
    assert (names(held.order), held.held) == (["c/1", "a/1", "b/1"], "c/1")
    degraded = choose(plan(A, B, C), CHAT, {"id-c": ProviderHealth("degraded")}, now=NOW, held="c/1")
    assert (names(degraded.order), degraded.held) == (["a/1", "b/1", "c/1"], None)
    gone = choose(plan(A, B), CHAT, {}, now=NOW, held="c/1")
    assert (names(gone.order), gone.held) == (["a/1", "b/1"], None)


def test_only_so_many_equals_are_spread_as_a_class_of_needs_has_and_the_rest_come_after_them():
    many = [model(f"a/{number:03}") for number in range(100)]
    weighted = spread("weighted", *((item, 0, 1.0) for item in many))
    first: set[str] = set()
    for number in range(500):
        order = names(choose(weighted, CHAT, {}, now=NOW, request_id=str(number)).order)
        assert order[32:] == [item.id for item in many[32:]]
        first.add(order[0])
    assert first == {item.id for item in many[:32]}


def test_a_provider_that_recovers_is_back_although_its_troubles_were_remembered():
    warm, both = Warm(), plan(A, B)
    away = {"id-a": ProviderHealth(cool_until=LATER)}
    assert names(choose(both, CHAT, away, now=NOW, warm=warm).order) == ["b/1"]
    assert names(choose(both, CHAT, away, now=LATER, warm=warm).order) == ["a/1", "b/1"]
    assert names(choose(both, CHAT, {}, now=NOW, warm=warm).order) == ["a/1", "b/1"]
