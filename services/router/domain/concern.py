"""Which routers a change concerns: the plans of all others stay as they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from shared.contracts.catalog import Model, ProviderCatalog
from shared.contracts.config import AutomaticOrder, ManualOrder, RouterSpec
from shared.routing.compile import unfit
from shared.routing.ordering import matcher

BY_SPEED: Final = frozenset({"fastest", "highest_performance"})
"""Strategies that read how quick models are."""
BY_MIX: Final = frozenset({"lowest_cost"})
"""Strategies that read what the router is asked for."""
MANY: Final = 4
"""Where more than one of so many models changed, every router is compiled: looking would take as long."""


@dataclass(frozen=True, slots=True)
class Change:
    """A model as it was and as it is; None: it was not there, or is gone."""

    before: Model | None
    after: Model | None

    def after_that(self, earlier: "Change | None") -> "Change":
        """Return both changes of one model as one."""
        return self if earlier is None else Change(earlier.before, self.after)


def changes(before: ProviderCatalog | None, after: ProviderCatalog | None) -> dict[str, Change]:
    """Return how two catalogs of a provider differ in what plans are made of, by model."""
    had = {model.id: model for model in before.models} if before else {}
    has = {model.id: model for model in after.models} if after else {}
    pairs = ((model_id, had.get(model_id), has.get(model_id)) for model_id in had.keys() | has.keys())
    return {model_id: Change(old, new) for model_id, old, new in pairs if old != new and _bare(old) != _bare(new)}


def _bare(model: Model | None) -> Model | None:
    """Return a model without what no plan holds and no strategy reads."""
    return model and msgspec.structs.replace(model, quantization=None, price_source=None, aliases=())


def strategies_of(spec: RouterSpec) -> frozenset[str]:
    """Return the names of a router's strategies; a manual order has none."""
    if not isinstance(spec.order, AutomaticOrder):
        return frozenset()
    return frozenset(strategy.name for strategy in spec.order.strategies)


def concerns(spec: RouterSpec, changed: Mapping[str, Change]) -> bool:
    """Whether a router could use one of the models that changed, before or now: by order, patterns and ranges.

    What it leaves out is only counted in its plan, and stays counted as of the inputs that the plan names.
    """
    if not changed:
        return False
    if isinstance(spec.order, ManualOrder):
        return any(model_id in changed for model_id in spec.order.models)
    selected = _selects(spec)
    return any(
        selected(model_id) and (_fits(change.after, spec) or _fits(change.before, spec))
        for model_id, change in changed.items()
    )


def _selects(spec: RouterSpec) -> Callable[[str], bool]:
    included, excluded = matcher(spec.models.include), matcher(spec.models.exclude)
    return lambda model_id: included(model_id) and not excluded(model_id)


def _fits(model: Model | None, spec: RouterSpec) -> bool:
    return model is not None and unfit(model, spec.filters) is None
