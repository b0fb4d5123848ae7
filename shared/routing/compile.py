"""From a router's specification and the catalog to its plan: selected, filtered, ordered, cut to size, explained."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from shared.contracts.catalog import Capability, Model
from shared.contracts.config import ManualOrder, ModelFilters, ModelSelection, Range, RouterSpec
from shared.contracts.plan import MAX_CANDIDATES, Candidate, LeftOut, Plan, Reason, plan_hash
from shared.routing.ordering import NO_EVIDENCE, Arranged, Evidence, Scorer, by_strategies, matcher

EXAMPLES: Final = 3
"""How many models a cause of being left out names."""
CONTEXT_CLASSES: Final = (32_000, 128_000, 200_000, 1_000_000)
"""Context windows (tokens) that requests ask for: each is a class of its own, so that cheap models with small
windows never push every large one out of a plan."""


def compile_plan(
    router_id: str,
    spec: RouterSpec,
    models: Iterable[Model],
    strategies: Mapping[str, Scorer],
    inputs: Mapping[str, int],
    evidence: Evidence = NO_EVIDENCE,
) -> Plan:
    """Return the plan of a router; equal arguments, in whatever order ``models`` come, give equal plans.

    ``strategies`` are the known ones by name; raises ContractBroken for a specification that names another.
    """
    omitted = _Omitted()
    everything = sorted(models, key=lambda model: model.id)
    selected = _filtered(_selected(everything, spec.models, omitted), spec.filters, omitted)
    if isinstance(spec.order, ManualOrder):
        arranged = Arranged(_by_hand(selected, everything, spec.order, omitted), _placed_by_hand)
    else:
        arranged = by_strategies(selected, spec.order.strategies, strategies, evidence)
    kept = _cut_to_size(arranged.models, omitted)
    return _sealed(
        Plan(
            router_id=router_id,
            slug=spec.slug,
            candidates=tuple(_candidate(arranged, evidence, place, model) for place, model in enumerate(kept, 1)),
            left_out=omitted.summary(),
            fallback=spec.fallback,
            on_cut=spec.on_cut,
            affinity=spec.affinity,
            spread=arranged.spread,
            inputs=dict(inputs),
        )
    )


def _candidate(arranged: Arranged, evidence: Evidence, place: int, model: Model) -> Candidate:
    found = candidate_of(model, arranged.explain(place, model))
    speed = evidence.speeds.get(model.id)
    if speed is not None and speed.ttft_ms is not None and speed.ttft_ms > 1_000:
        found = msgspec.structs.replace(found, ttft_s=math.ceil(speed.ttft_ms / 1_000))
    if not arranged.spread:
        return found
    return msgspec.structs.replace(found, band=arranged.bands[model.id], weight=arranged.weigh(model.id))


def direct_plan(model: Model) -> Plan:
    """Return the plan of a key that is bound to one model: that model, and no router's name."""
    return _sealed(Plan(router_id="", slug="", candidates=(candidate_of(model),)))


def candidate_of(model: Model, reasons: tuple[Reason, ...] = ()) -> Candidate:
    """Return a model as a candidate: all that sending and pricing it needs."""
    return Candidate(
        provider_id=model.provider_id,
        provider=model.provider,
        model=model.id,
        native_id=model.native_id,
        capabilities=model.capabilities,
        local=model.local,
        subscription=model.subscription,
        context_window=model.context_window,
        max_output=model.max_output,
        parameters_b=model.parameters_b,
        prices=model.prices,
        price_version=model.price_version,
        reasons=reasons,
    )


def _sealed(plan: Plan) -> Plan:
    return msgspec.structs.replace(plan, hash=plan_hash(plan))


@dataclass(slots=True)
class _Omitted:
    """Counts what was left out, by cause in the order in which the causes first came up."""

    counts: dict[str, int] = field(default_factory=dict[str, int])
    examples: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def add(self, cause: str, model_id: str) -> None:
        count = self.counts.get(cause, 0)
        self.counts[cause] = count + 1
        if count < EXAMPLES:
            self.examples.setdefault(cause, []).append(model_id)

    def summary(self) -> tuple[LeftOut, ...]:
        return tuple(LeftOut(cause, self.counts[cause], tuple(self.examples[cause])) for cause in sorted(self.counts))


def _selected(models: list[Model], selection: ModelSelection, omitted: _Omitted) -> list[Model]:
    included, excluded = matcher(selection.include), matcher(selection.exclude)
    selected: list[Model] = []
    for model in models:
        if not included(model.id):
            omitted.add("not_selected", model.id)
        elif excluded(model.id):
            omitted.add("excluded", model.id)
        else:
            selected.append(model)
    return selected


def _filtered(models: list[Model], filters: ModelFilters, omitted: _Omitted) -> list[Model]:
    if filters == ModelFilters():
        return models
    kept: list[Model] = []
    for model in models:
        cause = _unfit(model, filters)
        if cause is None:
            kept.append(model)
        else:
            omitted.add(cause, model.id)
    return kept


def _unfit(model: Model, filters: ModelFilters) -> str | None:
    """Return the first filter that leaves ``model`` out."""
    if not _within(model.parameters_b, filters.parameters_b):
        return "parameters_b"
    if not _within(model.context_window, filters.context):
        return "context"
    if not _within(_dearer_usd(model), filters.price):
        return "price"
    if not all(capability in model.capabilities for capability in filters.capabilities):
        return "capabilities"
    return None


def _within(value: float | None, bounds: Range) -> bool:
    if bounds.min is None and bounds.max is None:
        return True
    if value is None:
        return False
    return (bounds.min is None or value >= bounds.min) and (bounds.max is None or value <= bounds.max)


def _dearer_usd(model: Model) -> float | None:
    """Return the larger of input and output price in USD per million tokens: 0 for a local model, None if unknown."""
    if model.prices is None:
        return 0.0 if model.local else None
    return max(model.prices.input, model.prices.output) / 10**12


def _by_hand(selected: list[Model], everything: list[Model], order: ManualOrder, omitted: _Omitted) -> list[Model]:
    """Return the models of a manual order that may be used; the rest of the catalog was not selected."""
    wanted = set(order.models)
    usable = {model.id: model for model in selected if model.id in wanted}
    for model in selected:
        if model.id not in wanted:
            omitted.add("not_selected", model.id)
    known = {model.id for model in everything}
    for model_id in order.models:
        if model_id not in known:
            omitted.add("not_listed", model_id)
    return [usable[model_id] for model_id in dict.fromkeys(order.models) if model_id in usable]


def _placed_by_hand(place: int, _: Model) -> tuple[Reason, ...]:
    return (Reason("manual", place, f"place {place} by hand"),)


_BITS: Final = {capability: 1 << place for place, capability in enumerate(Capability)}
_CONTEXT_BITS: Final = {window: 1 << (len(_BITS) + place) for place, window in enumerate(CONTEXT_CLASSES)}


def _abilities(model: Model) -> int:
    """Return what a request may ask of ``model`` as a set of bits; an unknown window may be as large as it likes."""
    bits = 0
    for capability in model.capabilities:
        bits |= _BITS[capability]
    for window, bit in _CONTEXT_BITS.items():
        if model.context_window is None or model.context_window >= window:
            bits |= bit
    return bits


def _cut_to_size(ordered: list[Model], omitted: _Omitted) -> list[Model]:
    """Return the models that are among the first ``MAX_CANDIDATES`` for some set of needs.

    A model is kept while fewer than that many kept ones can do all that it can. So for whatever needs, the best of
    all models that meet them are in the plan: were one of those left out, enough models before it could do as much.
    """
    kept: list[Model] = []
    abilities: list[int] = []
    counts: dict[int, int] = {}
    for model in ordered:
        bits = _abilities(model)
        count = counts.get(bits)
        if count is None:
            count = counts[bits] = sum(1 for other in abilities if other & bits == bits)
        if count >= MAX_CANDIDATES:
            omitted.add("beyond_limit", model.id)
            continue
        kept.append(model)
        abilities.append(bits)
        for known in counts:
            if bits & known == known:
                counts[known] += 1
    return kept
