"""Which plans a change concerns."""

from typing import Any

import msgspec
import pytest

from services.router.domain.concern import Change, changes, concerns
from shared.contracts.catalog import Capability, Model, Prices, ProviderCatalog
from shared.contracts.config import (
    AutomaticOrder,
    ManualOrder,
    ModelFilters,
    ModelSelection,
    Range,
    RouterSpec,
    Strategy,
)

AUTOMATIC = RouterSpec(slug="r", name="R", order=AutomaticOrder(strategies=(Strategy("lowest_cost"),)))
BY_HAND = RouterSpec(slug="r", name="R", order=ManualOrder(models=("p/a", "p/b")))
A = Model(id="p/a", provider_id="p", provider="p", native_id="a", parameters_b=7.0)


def of(**fields: Any) -> Model:
    return msgspec.structs.replace(A, **fields)


def catalog(*models: Model) -> ProviderCatalog:
    return ProviderCatalog(provider_id="p", provider="p", models=models)


def router(**fields: Any) -> RouterSpec:
    return msgspec.structs.replace(AUTOMATIC, **fields)


@pytest.mark.parametrize(
    ("spec", "concerned"),
    [
        (AUTOMATIC, True),
        (router(models=ModelSelection(include=("p/*",))), True),
        (router(models=ModelSelection(include=("q/*",))), False),
        (router(models=ModelSelection(exclude=("*/a",))), False),
        (router(filters=ModelFilters(parameters_b=Range(None, 7))), True),
        (router(filters=ModelFilters(parameters_b=Range(8, None))), False),
        (router(filters=ModelFilters(capabilities=("tools",))), False),
        (BY_HAND, True),
        (msgspec.structs.replace(BY_HAND, order=ManualOrder(models=("p/b",))), False),
    ],
)
def test_a_new_model_concerns_who_could_use_it(spec: RouterSpec, concerned: bool):
    assert concerns(spec, changes(catalog(), catalog(A))) is concerned
    assert concerns(spec, changes(catalog(A), catalog())) is concerned, "and so does one that goes"
    assert not concerns(spec, {})


def test_who_could_use_a_model_before_it_changed_is_concerned_too():
    only_tools = router(filters=ModelFilters(capabilities=("tools",)))
    with_tools = of(capabilities=(Capability.CHAT, Capability.TOOLS))
    assert concerns(only_tools, changes(catalog(with_tools), catalog(A)))
    assert concerns(only_tools, changes(catalog(A), catalog(with_tools)))


def test_two_changes_of_one_model_are_one_from_the_first_state_to_the_last():
    once, then = of(parameters_b=8.0), of(parameters_b=9.0)
    assert Change(once, then).after_that(Change(A, once)) == Change(A, then)
    assert Change(A, once).after_that(None) == Change(A, once)


@pytest.mark.parametrize(
    ("fields", "different"),
    [
        ({"prices": Prices(input=1, output=1)}, True),
        ({"context_window": 8_000}, True),
        ({"performance_class": 70}, True),
        ({"price_version": "2"}, True),
        ({"aliases": ("fast",)}, False),
        ({"quantization": "q4"}, False),
        ({"price_source": "vendor"}, False),
    ],
)
def test_what_no_plan_is_made_of_is_no_change(fields: dict[str, Any], different: bool):
    assert bool(changes(catalog(A), catalog(of(**fields)))) is different
