"""Explaining a request: the same choice again, or not."""

from typing import Any

import pytest

from shared.contracts.catalog import Capability, Model
from shared.contracts.plan import Plan, Reason
from shared.contracts.usage import Exclusion, Needs, UsageRecord
from shared.routing.compile import candidate_of
from shared.routing.explain import explain
from shared.routing.health import ProviderHealth
from shared.testing.usage import attempt, usage_record


def model(name: str, **fields: Any) -> Model:
    provider, native = name.split("/")
    return Model(id=name, provider_id=f"id-{provider}", provider=provider, native_id=native, **fields)


A, B, C = model("a/1"), model("b/1"), model("c/1", capabilities=(Capability.CHAT, Capability.VISION))
REASONS = (Reason("lowest_cost", 1.0, "cheap"),)
PLAN = Plan(router_id="r", slug="r", candidates=tuple(candidate_of(item, REASONS) for item in (A, B, C)))


def record(*attempts: Any, **fields: Any) -> UsageRecord:
    usual: dict[str, Any] = {"needs": Needs(capabilities=("chat",)), "plan_hash": "h"}
    return usage_record(1, *attempts, **{**usual, **fields})


def test_every_candidate_stands_at_its_place_with_its_turn_its_reasons_and_its_outcomes():
    found = explain(PLAN, record(attempt("a/1", "timeout"), attempt("b/1")), {})
    assert [(item.place, item.order, item.outcomes) for item in found.candidates] == [
        (1, 1, ("timeout",)),
        (2, 2, ("succeeded",)),
        (3, 3, ()),
    ]
    assert found.candidates[0].candidate.reasons == REASONS
    assert found.again == "same"


def test_what_was_out_then_is_passed_over_again_and_says_why():
    out = Exclusion(provider="a", model="a/1", cause="unhealthy", value="unhealthy")
    found = explain(PLAN, record(attempt("b/1"), excluded=(out,)), {"id-a": ProviderHealth("unhealthy")})
    assert (found.candidates[0].order, found.candidates[0].excluded) == (None, out)
    assert found.again == "same"


def test_what_only_the_gateway_had_learnt_stands_in_the_record():
    cooling = Exclusion(provider="a", model="a/1", cause="cooling", value="2026-03-01T13:00:00.000Z")
    found = explain(PLAN, record(attempt("b/1"), excluded=(cooling,)), {})
    assert found.candidates[0].excluded == cooling
    assert found.again == "same"


def test_what_a_policy_passed_over_is_passed_over():
    unpriced = Exclusion(provider="a", model="a/1", cause="unpriced")
    found = explain(PLAN, record(attempt("b/1"), excluded=(unpriced,)), {})
    assert [item.order for item in found.candidates] == [None, 1, 2]
    assert found.candidates[0].excluded == unpriced
    assert found.again == "same"


def test_needs_are_those_of_the_request():
    needs = Needs(capabilities=("chat", "vision"))
    lacking = tuple(
        Exclusion(provider=name, model=f"{name}/1", cause="capabilities", value="vision") for name in ("a", "b")
    )
    found = explain(PLAN, record(attempt("c/1"), needs=needs, excluded=lacking), {})
    assert [item.order for item in found.candidates] == [None, None, 1]
    assert found.again == "same"


@pytest.mark.parametrize(
    ("changes", "health"),
    [({"attempts": (attempt("c/1"),)}, {}), ({}, {"id-a": ProviderHealth("unhealthy")})],
    ids=["another went first", "another was out"],
)
def test_a_choice_that_the_log_does_not_give_again_is_called_different(
    changes: dict[str, Any], health: dict[str, ProviderHealth]
):
    assert explain(PLAN, record(attempt("a/1"), **changes), health).again == "different"


def test_the_model_that_held_the_conversation_goes_first_again():
    assert explain(PLAN, record(attempt("c/1"), held="c/1"), {}).again == "same"
