"""In which order models stand by a composition of strategies, and why: bands of equals, told apart one by one."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Final, Literal

from shared.contracts.catalog import Model
from shared.contracts.config import Strategy
from shared.contracts.plan import Reason
from shared.kernel.errors import ContractBroken
from shared.routing.scoring import Evidence, Score, Scorer
from shared.routing.table import ModelTable, Ranking

SPREADS: Final = ("weighted", "least_busy")
"""Strategies that each request decides anew among equals, see ``Plan.spread``; a composition holds one at most."""
_DECIDED_LATER: Final = {"weighted": "by a hash of the request", "least_busy": "by requests in flight"}


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Return whether a model id falls under one of ``patterns``, in which ``*`` stands for any text."""
    if "*" in patterns:
        return lambda _id: True
    expression = "|".join(".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    matches = re.compile(expression, re.DOTALL).fullmatch
    return lambda model_id: bool(patterns) and matches(model_id) is not None


@dataclass(frozen=True, slots=True)
class Arranged:
    """Models in the order of their plan, by their places in the table, and what there is to say of each."""

    bands: Iterator[list[int]]
    """Equals until a request decides, the best first; put in order as they are asked for."""
    explain: Callable[[int, Model], tuple[Reason, ...]]
    spread: Literal["", "weighted", "least_busy"] = ""
    weigh: Callable[[str], float] = lambda _id: 1.0
    """Return a model's share of its band's requests."""


def by_strategies(
    table: ModelTable,
    places: list[int],
    order: Sequence[Strategy],
    strategies: Mapping[str, Scorer],
    evidence: Evidence,
    wanted: Callable[[int], bool] = lambda _place: True,
) -> Arranged:
    """Order by all strategies; what stands before one that each request decides anew makes the bands it decides in.

    Models that are not ``wanted`` any more when their turn comes are left out, and cost no further comparison.
    """
    before: list[_Level] = []
    after: list[_Level] = []
    spread: Strategy | None = None
    for strategy in order:
        if strategy.name in SPREADS:
            spread = strategy
            continue
        scorer = _scorer(strategy, strategies)
        level = _Level(strategy, scorer, evidence, table.ranking(strategy.name, scorer, evidence, places))
        (before if spread is None else after).append(level)
    explain = partial(_reasons, [*before, *after])
    equals = _bands(places, before, wanted)
    if spread is None:
        return Arranged(equals, explain)
    weigh = _weights(spread.weights)
    return Arranged(
        (_heaviest_first(table, _in_order(band, after, wanted), weigh, spread) for band in equals),
        partial(_reasons_and_spread, explain, spread, weigh),
        spread="weighted" if spread.name == "weighted" else "least_busy",
        weigh=weigh,
    )


def _weights(weights: Mapping[str, float]) -> Callable[[str], float]:
    rules = [(matcher((pattern,)), weight) for pattern, weight in weights.items()]
    return lambda model_id: next((weight for fits, weight in rules if fits(model_id)), 1.0)


def _heaviest_first(table: ModelTable, band: list[int], weigh: Callable[[str], float], spread: Strategy) -> list[int]:
    """Return equals in the order in which they are kept where they are too many: those with the larger shares."""
    if not spread.weights:
        return band
    return sorted(band, key=lambda place: -weigh(table.models[place].id))


@dataclass(frozen=True, slots=True)
class _Level:
    """One strategy of a composition."""

    strategy: Strategy
    scorer: Scorer
    evidence: Evidence
    ranking: Ranking

    def score(self, model: Model) -> Score:
        return self.scorer(model, self.evidence)


def _reasons(levels: Sequence[_Level], _: int, model: Model) -> tuple[Reason, ...]:
    scores = [(level.strategy.name, level.score(model)) for level in levels]
    return tuple(Reason(name, score.value, score.why()) for name, score in scores)


def _reasons_and_spread(
    explain: Callable[[int, Model], tuple[Reason, ...]],
    spread: Strategy,
    weigh: Callable[[str], float],
    place: int,
    model: Model,
) -> tuple[Reason, ...]:
    weight = weigh(model.id)
    said = _DECIDED_LATER[spread.name] + (f", weight {weight:g}" if spread.name == "weighted" else "")
    return (*explain(place, model), Reason(spread.name, weight, said))


def _scorer(strategy: Strategy, strategies: Mapping[str, Scorer]) -> Scorer:
    scorer = strategies.get(strategy.name)
    if scorer is None:
        known = sorted((*strategies, *SPREADS))
        raise ContractBroken(f"unknown strategy {strategy.name!r}: known are {', '.join(known)}")
    return scorer


def _in_order(places: list[int], levels: Sequence[_Level], wanted: Callable[[int], bool]) -> list[int]:
    """Return ``places`` ordered by the first strategy, and each band of equals by the strategies after it."""
    return [place for band in _bands(places, levels, wanted) for place in band]


def _bands(places: list[int], levels: Sequence[_Level], wanted: Callable[[int], bool]) -> Iterator[list[int]]:
    """Yield ``places`` in bands that all the strategies of ``levels`` together cannot tell apart, the best first.

    Bands do not overlap and the order is total; models that nothing tells apart keep the order in which they came.
    """
    if not levels or len(places) < 2:
        if places:
            yield places
        return
    level, rest = levels[0], levels[1:]
    for equals in _equals(places, level.ranking, level.strategy.tolerance):
        band = [place for place in equals if wanted(place)]
        if len(band) > 1 and rest:
            yield from _bands(band, rest, wanted)
        elif band:
            yield band


def _equals(places: list[int], ranking: Ranking, tolerance: float) -> list[list[int]]:
    """Return ``places`` in the bands of one strategy.

    A band begins at the best score not yet placed and takes in every score of its tier within the tolerance of it.
    """
    ordered = sorted(places, key=ranking.rank.__getitem__)
    if not tolerance:
        return [list(band) for _, band in groupby(ordered, key=ranking.group.__getitem__)]
    came = {place: number for number, place in enumerate(places)}
    tiers, values, then = ranking.tiers, ranking.values, ranking.then
    bands: list[list[int]] = []
    band: list[int] = []
    tier, limit = 0, 0.0
    for place in ordered:
        value = values[place]
        if band and value <= limit and tiers[place] == tier:
            band.append(place)
        else:
            band = [place]
            bands.append(band)
            tier, limit = tiers[place], value + abs(value) * tolerance
    for band in bands:
        if len(band) > 1:
            band.sort(key=came.__getitem__)
            band.sort(key=then.__getitem__)
    return bands
