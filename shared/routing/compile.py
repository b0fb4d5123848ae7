"""From a router's specification and the catalog to its plan: selected, filtered, ordered, cut to size, explained."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from shared.contracts.catalog import Model
from shared.contracts.config import ManualOrder, ModelFilters, ModelSelection, Range, RouterSpec
from shared.contracts.plan import MAX_CANDIDATES, Candidate, LeftOut, Plan, Reason, plan_hash
from shared.contracts.speed import Speed
from shared.routing.ordering import Arranged, by_strategies, matcher
from shared.routing.scoring import NO_EVIDENCE, Evidence, Scorer
from shared.routing.table import ModelTable

EXAMPLES: Final = 3
"""How many models a cause of being left out names."""
_BEST: Final = MAX_CANDIDATES * 3 // 4
"""So many candidates of a class are its best, whoever offers them."""
_OF_ANOTHER: Final = 2
"""As many of one provider are enough in the places after those."""


def compile_plan(
    router_id: str,
    spec: RouterSpec,
    models: Iterable[Model] | ModelTable,
    strategies: Mapping[str, Scorer],
    inputs: Mapping[str, int],
    evidence: Evidence = NO_EVIDENCE,
) -> Plan:
    """Return the plan of a router; equal arguments, in whatever order ``models`` come, give equal plans.

    ``strategies`` are the known ones by name; raises ContractBroken for a specification that names another.
    """
    omitted = _Omitted()
    table = ModelTable.of(models)
    selected = _filtered(table, _selected(table, spec.models, omitted), spec.filters, omitted)
    if isinstance(spec.order, ManualOrder):
        kept = [(place, 0) for place in _by_hand(table, selected, spec.order, omitted)]
        arranged = Arranged(iter(()), _placed_by_hand)
    else:
        cut = _Cut(table)
        arranged = by_strategies(table, selected, spec.order.strategies, strategies, evidence, cut.wants)
        kept = [(place, number) for number, band in enumerate(arranged.bands) for place in band if cut.keeps(place)]
        omitted.add_all("beyond_limit", cut.examples, len(selected) - len(kept))
    return _sealed(
        Plan(
            router_id=router_id,
            slug=spec.slug,
            candidates=tuple(
                _candidate(arranged, evidence, number, band, table.models[place])
                for number, (place, band) in enumerate(kept, 1)
            ),
            left_out=omitted.summary(),
            fallback=spec.fallback,
            on_cut=spec.on_cut,
            affinity=spec.affinity,
            spread=arranged.spread,
            inputs=dict(inputs),
        )
    )


def _candidate(arranged: Arranged, evidence: Evidence, number: int, band: int, model: Model) -> Candidate:
    found = candidate_of(model, arranged.explain(number, model))
    begins = begins_s(evidence.speeds.get(model.id))
    if begins is not None:
        found = msgspec.structs.replace(found, ttft_s=begins)
    if not arranged.spread:
        return found
    return msgspec.structs.replace(found, band=band, weight=arranged.weigh(model.id))


def begins_s(speed: Speed | None) -> int | None:
    """Return ``Candidate.ttft_s`` of a model whose speed is ``speed``."""
    if speed is None or speed.ttft_ms is None or speed.ttft_ms <= 1_000:
        return None
    return math.ceil(speed.ttft_ms / 1_000)


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

    def add_all(self, cause: str, first: list[str], count: int) -> None:
        """Count what was left out for one cause at once."""
        if count:
            self.counts[cause], self.examples[cause] = count, first

    def summary(self) -> tuple[LeftOut, ...]:
        return tuple(LeftOut(cause, self.counts[cause], tuple(self.examples[cause])) for cause in sorted(self.counts))


def _selected(table: ModelTable, selection: ModelSelection, omitted: _Omitted) -> list[int]:
    if "*" in selection.include and not selection.exclude:
        return list(range(len(table.models)))
    included, excluded = matcher(selection.include), matcher(selection.exclude)
    selected: list[int] = []
    for place, model in enumerate(table.models):
        if not included(model.id):
            omitted.add("not_selected", model.id)
        elif excluded(model.id):
            omitted.add("excluded", model.id)
        else:
            selected.append(place)
    return selected


def _filtered(table: ModelTable, places: list[int], filters: ModelFilters, omitted: _Omitted) -> list[int]:
    if filters == ModelFilters():
        return places
    kept: list[int] = []
    for place in places:
        cause = unfit(table.models[place], filters)
        if cause is None:
            kept.append(place)
        else:
            omitted.add(cause, table.models[place].id)
    return kept


def unfit(model: Model, filters: ModelFilters) -> str | None:
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


def _by_hand(table: ModelTable, selected: list[int], order: ManualOrder, omitted: _Omitted) -> list[int]:
    """Return the models of a manual order that may be used; the rest of the catalog was not selected."""
    wanted = set(order.models)
    usable: dict[str, int] = {}
    for place in selected:
        model_id = table.models[place].id
        if model_id in wanted:
            usable[model_id] = place
        else:
            omitted.add("not_selected", model_id)
    for model_id in order.models:
        if model_id not in table.places:
            omitted.add("not_listed", model_id)
    return [usable[model_id] for model_id in dict.fromkeys(order.models) if model_id in usable]


def _placed_by_hand(place: int, _: Model) -> tuple[Reason, ...]:
    return (Reason("manual", place, f"place {place} by hand"),)


class _Cut:
    """Keeps, of models in their order, those that are among the first who can do as much, for some set of needs.

    A model is kept while fewer than ``_BEST`` kept ones can do all that it can. So for whatever needs, the best of
    all models that meet them are in the plan: were one of those left out, enough models before it could do as much.
    After them, up to ``MAX_CANDIDATES``, come only models of providers with next to none among them: were all the best
    one provider's, nobody would be left when it is away.
    """

    def __init__(self, table: ModelTable) -> None:
        self.examples: list[str] = []
        """The first of those that are not kept."""
        self._table = table
        self._kept: list[int] = []
        self._counts: dict[int, int] = {}
        self._of: dict[int, Counter[str]] = {}
        self._full: set[int] = set()
        """Abilities of which no model will be kept any more."""

    def wants(self, place: int) -> bool:
        """Whether the model at ``place`` may still be kept."""
        if self._table.abilities[place] not in self._full:
            return True
        self._leave_out(place)
        return False

    def keeps(self, place: int) -> bool:
        """Whether the model at ``place``, the next in order, is kept."""
        if not self.wants(place):
            return False
        table, counts, of = self._table, self._counts, self._of
        bits, provider = table.abilities[place], table.models[place].provider_id
        if bits not in counts:
            able = [other for other in self._kept if table.abilities[other] & bits == bits]
            counts[bits] = len(able)
            of[bits] = Counter(table.models[other].provider_id for other in able)
        if counts[bits] >= _BEST and (counts[bits] >= MAX_CANDIDATES or of[bits][provider] >= _OF_ANOTHER):
            self._leave_out(place)
            return False
        self._kept.append(place)
        for known in counts:
            if bits & known == known:
                counts[known] += 1
                of[known][provider] += 1
                if counts[known] >= MAX_CANDIDATES:
                    self._full.add(known)
        return True

    def _leave_out(self, place: int) -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(self._table.models[place].id)
