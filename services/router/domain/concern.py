"""Which routers a change concerns: the plans of all others stay as they are."""

from typing import Final

from shared.contracts.config import AutomaticOrder, ManualOrder, RouterSpec
from shared.routing.ordering import matcher

BY_SPEED: Final = frozenset({"fastest", "highest_performance"})
"""Strategies that read how quick models are."""
BY_MIX: Final = frozenset({"lowest_cost"})
"""Strategies that read what the router is asked for."""


def strategies_of(spec: RouterSpec) -> frozenset[str]:
    """Return the names of a router's strategies; a manual order has none."""
    if not isinstance(spec.order, AutomaticOrder):
        return frozenset()
    return frozenset(strategy.name for strategy in spec.order.strategies)


def concerns(spec: RouterSpec, model_ids: set[str]) -> bool:
    """Whether a router may use one of ``model_ids``, by its order and its patterns.

    What it leaves out by pattern is only counted in its plan, and stays counted as of the inputs that the plan names.
    """
    if isinstance(spec.order, ManualOrder):
        return any(model_id in model_ids for model_id in spec.order.models)
    if not model_ids:
        return False
    included, excluded = matcher(spec.models.include), matcher(spec.models.exclude)
    return any(included(model_id) and not excluded(model_id) for model_id in model_ids)
