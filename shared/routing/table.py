"""All models there are, and what was worked out of them once for all routers that are compiled from them."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from shared.contracts.catalog import Capability, Model
from shared.contracts.speed import Mix, Speed
from shared.routing.scoring import Evidence, Scorer

CONTEXT_CLASSES: Final = (32_000, 128_000, 200_000, 1_000_000)
"""Context windows (tokens) that requests ask for: each is a class of its own, so that cheap models with small
windows never push every large one out of a plan."""
_FEW: Final = 4
"""Where less than one of so many models is to be ranked, the others are not."""
_BITS: Final = {id(capability): 1 << place for place, capability in enumerate(Capability)}
"""By identity: the hash of an enum's member is worked out in Python, and there are many models."""
_CONTEXT_BITS: Final = tuple((window, 1 << (len(_BITS) + place)) for place, window in enumerate(CONTEXT_CLASSES))


@dataclass(frozen=True, slots=True)
class Ranking:
    """How one strategy sees models; each list is by a model's place in the table."""

    tiers: list[int]
    values: list[float]
    then: list[float]
    rank: list[int]
    """By tier, value and what tells apart besides; equals have equal ranks."""
    group: list[int]
    """By tier and value alone."""


@dataclass
class ModelTable:
    """Models in the order of their ids: made anew when one changes; rankings are kept while the speeds are."""

    models: list[Model]
    by_mix: Container[str] | None = None
    """The strategies that read a router's own mix of tokens, so that their rankings are its own; None: any may."""
    speeds: Mapping[str, Speed] | None = None
    rankings: dict[str, Ranking] = field(default_factory=dict[str, Ranking])
    _earlier: "tuple[list[int | None], dict[str, Ranking]] | None" = None
    """Where models stood in an earlier table, and its rankings."""

    @staticmethod
    def of(
        models: "Iterable[Model] | ModelTable",
        by_mix: Container[str] | None = None,
        before: "ModelTable | None" = None,
    ) -> "ModelTable":
        """Return a table of ``models``, in whatever order they come; what ``before`` knows of the same ones is kept."""
        if isinstance(models, ModelTable):
            return models
        table = ModelTable(sorted(models, key=_id), by_mix)
        if before is not None:
            table.take_over(before)
        return table

    def take_over(self, before: "ModelTable") -> None:
        """Take abilities and scores of models that are the very same: most catalogs stay when one is refreshed."""
        places = [before.places.get(model.id) for model in self.models]
        same = [
            place if place is not None and before.models[place] is model else None
            for place, model in zip(places, self.models, strict=True)
        ]
        self.abilities = [
            _abilities(model) if place is None else before.abilities[place]
            for place, model in zip(same, self.models, strict=True)
        ]
        self.speeds = before.speeds
        self._earlier = same, dict(before.rankings)

    @cached_property
    def abilities(self) -> list[int]:
        """What a request may ask of each model, as a set of bits; an unknown window may be as large as it likes."""
        return [_abilities(model) for model in self.models]

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each model stands, by id."""
        return {model.id: place for place, model in enumerate(self.models)}

    def ranking(self, name: str, scorer: Scorer, evidence: Evidence, places: Sequence[int]) -> Ranking:
        """Return the ranking by the strategy ``name`` of the models at ``places``; of all, where they are many."""
        if self.speeds is not evidence.speeds:
            self.speeds, self.rankings, self._earlier = evidence.speeds, {}, None
        everybodys = self._is_everybodys(name, evidence.mix)
        if everybodys and name in self.rankings:
            return self.rankings[name]
        if len(places) * _FEW < len(self.models):
            return _ranked(_scored(self.models, scorer, evidence, places), places)
        everywhere = range(len(self.models))
        if everybodys and self._earlier is not None and name in self._earlier[1]:
            same, earlier = self._earlier[0], self._earlier[1].pop(name)
            ranking = _ranked(_scored(self.models, scorer, evidence, everywhere, (same, earlier)), everywhere)
        else:
            ranking = _ranked(_scored(self.models, scorer, evidence, everywhere), everywhere)
        if everybodys:
            self.rankings[name] = ranking
        return ranking

    def _is_everybodys(self, name: str, mix: Mix | None) -> bool:
        """Whether every router ranks alike: what one made of its own mix is not kept."""
        return mix is None or (self.by_mix is not None and name not in self.by_mix)


_Scores = tuple[list[int], list[float], list[float]]
"""Tiers, values, and what tells apart besides."""


def _scored(
    models: Sequence[Model],
    scorer: Scorer,
    evidence: Evidence,
    places: Sequence[int],
    earlier: tuple[list[int | None], Ranking] | None = None,
) -> _Scores:
    count = len(models)
    tiers, values, thens = [0] * count, [0.0] * count, [0.0] * count
    if earlier is not None:
        was_at, known = earlier
        for place, was in enumerate(was_at):
            if was is not None:
                tiers[place], values[place], thens[place] = known.tiers[was], known.values[was], known.then[was]
        places = [place for place, was in enumerate(was_at) if was is None]
    for place in places:
        score = scorer(models[place], evidence)
        tiers[place], values[place], thens[place] = score.tier, score.value, score.then
    return tiers, values, thens


def _ranked(scores: _Scores, places: Sequence[int]) -> Ranking:
    tiers, values, thens = scores
    count = len(tiers)
    # one sort a key, the last one first: numbers of one kind are compared far more quickly than tuples
    order = sorted(places, key=thens.__getitem__)
    order.sort(key=values.__getitem__)
    order.sort(key=tiers.__getitem__)
    ranks, groups = [0] * count, [0] * count
    rank = group = 0
    last = order[0] if order else 0
    for place in order:
        if values[place] != values[last] or tiers[place] != tiers[last]:
            rank += 1
            group += 1
        elif thens[place] != thens[last]:
            rank += 1
        ranks[place], groups[place] = rank, group
        last = place
    return Ranking(tiers, values, thens, ranks, groups)


def _id(model: Model) -> str:
    return model.id


def _abilities(model: Model) -> int:
    bits = 0
    for capability in model.capabilities:
        bits |= _BITS[id(capability)]
    window = model.context_window
    for size, bit in _CONTEXT_BITS:
        if window is None or window >= size:
            bits |= bit
    return bits
