"""In which order models stand by a composition of strategies, and why: bands of equals, told apart one by one."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

import msgspec

from shared.contracts.catalog import Model
from shared.contracts.config import Strategy
from shared.contracts.plan import Reason
from shared.contracts.speed import Mix, Speed
from shared.kernel.errors import ContractBroken


class Score(msgspec.Struct, frozen=True):
    """A model's place by one strategy: smaller is better; models of different tiers are never a tie."""

    value: float
    because: str | Callable[[], str]
    """In words, or what makes them: thousands of models are scored, and a few explained."""
    tier: int = 0
    then: float = math.inf
    """Tells models apart that no strategy of the composition does, the smaller first; it makes no band."""

    def why(self) -> str:
        """Return why the value is what it is."""
        return self.because if isinstance(self.because, str) else self.because()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured, as far as it was: every model's speed, and the mix of tokens of the router at hand."""

    speeds: Mapping[str, Speed] = field(default_factory=dict[str, Speed])
    mix: Mix | None = None


NO_EVIDENCE: Final = Evidence()

Scorer = Callable[[Model, Evidence], Score]
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
    """Models in the order of their plan, and what there is to say of each."""

    models: list[Model]
    explain: Callable[[int, Model], tuple[Reason, ...]]
    spread: Literal["", "weighted", "least_busy"] = ""
    bands: Mapping[str, int] = field(default_factory=dict[str, int])
    weigh: Callable[[str], float] = lambda _id: 1.0
    """Return a model's share of its band's requests."""


def by_strategies(
    models: list[Model], order: Sequence[Strategy], strategies: Mapping[str, Scorer], evidence: Evidence
) -> Arranged:
    """Order by all strategies; what stands before one that each request decides anew makes the bands it decides in."""
    before: list[_Band] = []
    after: list[_Band] = []
    spread: Strategy | None = None
    for strategy in order:
        if strategy.name in SPREADS:
            spread = strategy
            continue
        band = _Band(strategy, _scorer(strategy, strategies, evidence))
        (before if spread is None else after).append(band)
    explain = partial(_reasons, [*before, *after])
    equals = _bands(models, before)
    if spread is None:
        return Arranged([model for band in equals for model in band], explain)
    arranged = [_in_order(band, after) for band in equals]
    return Arranged(
        [model for band in arranged for model in band],
        partial(_reasons_and_spread, explain, spread),
        spread="weighted" if spread.name == "weighted" else "least_busy",
        bands={model.id: place for place, band in enumerate(arranged) for model in band},
        weigh=_weights(spread.weights),
    )


def _weights(weights: Mapping[str, float]) -> Callable[[str], float]:
    rules = [(matcher((pattern,)), weight) for pattern, weight in weights.items()]
    return lambda model_id: next((weight for fits, weight in rules if fits(model_id)), 1.0)


@dataclass(frozen=True, slots=True)
class _Band:
    strategy: Strategy
    score: Callable[[Model], Score]


def _reasons(bands: Sequence[_Band], _: int, model: Model) -> tuple[Reason, ...]:
    scores = [(band.strategy.name, band.score(model)) for band in bands]
    return tuple(Reason(name, score.value, score.why()) for name, score in scores)


def _reasons_and_spread(
    explain: Callable[[int, Model], tuple[Reason, ...]], spread: Strategy, place: int, model: Model
) -> tuple[Reason, ...]:
    weight = _weights(spread.weights)(model.id)
    said = _DECIDED_LATER[spread.name] + (f", weight {weight:g}" if spread.name == "weighted" else "")
    return (*explain(place, model), Reason(spread.name, weight, said))


def _scorer(strategy: Strategy, strategies: Mapping[str, Scorer], evidence: Evidence) -> Callable[[Model], Score]:
    scorer = strategies.get(strategy.name)
    if scorer is None:
        known = sorted((*strategies, *SPREADS))
        raise ContractBroken(f"unknown strategy {strategy.name!r}: known are {', '.join(known)}")
    return lambda model: scorer(model, evidence)


def _in_order(models: list[Model], bands: Sequence[_Band]) -> list[Model]:
    """Return ``models`` ordered by the first strategy, and each band of equals by the strategies after it."""
    return [model for band in _bands(models, bands) for model in band]


def _bands(models: list[Model], bands: Sequence[_Band]) -> list[list[Model]]:
    """Return ``models`` in bands that all the strategies of ``bands`` together cannot tell apart, the best first.

    A band begins at the best score not yet placed and takes in every score within the tolerance of it, so bands do
    not overlap and the order is total; models that nothing tells apart keep the order in which they came.
    """
    if not bands or len(models) < 2:
        return [models] if models else []
    scorer, tolerance, rest = bands[0].score, bands[0].strategy.tolerance, bands[1:]
    scored = [(score.tier, score.value, score.then, place) for place, score in enumerate(map(scorer, models))]
    scored.sort()
    arranged: list[list[Model]] = []
    start = 0
    while start < len(scored):
        tier, best, _, _ = scored[start]
        limit = best + abs(best) * tolerance
        end = start + 1
        while end < len(scored) and scored[end][0] == tier and scored[end][1] <= limit:
            end += 1
        if end - start == 1:
            arranged.append([models[scored[start][3]]])
        else:
            equals = sorted((then, place) for _, _, then, place in scored[start:end])
            arranged += _bands([models[place] for _, place in equals], rest)
        start = end
    return arranged
