"""How quick models are and what routers are asked for, as the traffic shows it: what is older counts less.

Both are weighted means whose weights halve every so often (of the records' own time): exact, and bounded however long
they run. What is told is rounded to two digits, so that plans do not change with every tremor.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from shared.contracts.speed import Mix, Speed

SPEED_HALF_LIFE_S: Final = 1_800.0
MIX_HALF_LIFE_S: Final = 86_400.0
MOST: Final = 10_000
"""Models, and routers, that are kept: the least asked ones go first."""
_MOST_HALVES: Final = 64.0
"""Half-lives after which weights are brought back to 1."""
_FORGOTTEN: Final = 0.05
"""Fewer samples than this, after decay, say nothing any more."""


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One request that one attempt answered whole."""

    time_s: float
    """Unix seconds."""
    model: str
    """``<provider>/<model>``."""
    router: str | None
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    duration_ms: float
    ttft_ms: float | None
    """None: it was no stream."""


@dataclass(slots=True)
class _Mean:
    """Sums of weighted values, and the weight they have.

    New samples weigh more instead of old ones less, which comes to the same and touches nothing that is there: what is
    kept is as of ``since_s``, at which a sample would weigh 1.
    https://dimacs.rutgers.edu/~graham/pubs/papers/fwddecay.pdf
    """

    half_life_s: float
    sums: list[float]
    weights: list[float]
    samples: float = 0.0
    since_s: float = 0.0
    at_s: float = 0.0
    weight: float = 1.0
    """Of a sample at ``at_s``."""

    def add(self, time_s: float, values: tuple[float | None, ...]) -> None:
        """Take one sample; None: it says nothing of that value. What comes late weighs as if it came now."""
        if time_s > self.at_s:
            self.at_s = time_s
            halves = (time_s - self.since_s) / self.half_life_s
            if halves > _MOST_HALVES:
                self.fade(time_s)
                halves = 0.0
            self.weight = 2.0**halves
        weight = self.weight
        self.samples += weight
        for place, value in enumerate(values):
            if value is not None:
                self.sums[place] += value * weight
                self.weights[place] += weight

    def fade(self, time_s: float) -> None:
        """Let what is there weigh as little as it should at ``time_s``."""
        self.at_s = max(self.at_s, time_s)
        factor = 0.5 ** ((self.at_s - self.since_s) / self.half_life_s)
        self.since_s, self.weight = self.at_s, 1.0
        self.samples *= factor
        self.sums = [value * factor for value in self.sums]
        self.weights = [weight * factor for weight in self.weights]

    def mean(self, place: int) -> float | None:
        weight = self.weights[place]
        return None if weight < _FORGOTTEN else float(f"{self.sums[place] / weight:.2g}")


@dataclass(slots=True)
class Measured:
    """Everything measured up to now."""

    models: dict[str, _Mean] = field(default_factory=dict[str, _Mean])
    routers: dict[str, _Mean] = field(default_factory=dict[str, _Mean])

    def take(self, samples: Iterable[Sample]) -> None:
        """Take what ``samples`` show."""
        for sample in samples:
            mean = self.models.get(sample.model)
            if mean is None:
                mean = self.models[sample.model] = _Mean(SPEED_HALF_LIFE_S, [0.0, 0.0], [0.0, 0.0])
            mean.add(sample.time_s, (sample.ttft_ms, _pace(sample)))
            if sample.router is not None:
                mix = self.routers.get(sample.router)
                if mix is None:
                    mix = self.routers[sample.router] = _Mean(MIX_HALF_LIFE_S, [0.0] * 4, [0.0] * 4)
                tokens = (
                    sample.input_tokens,
                    sample.cached_tokens,
                    sample.cache_write_tokens,
                    sample.output_tokens,
                )
                mix.add(sample.time_s, tokens)

    def told(self, now_s: float) -> tuple[dict[str, Speed], dict[str, Mix]]:
        """Return speeds by model and mixes by router as of ``now_s``; what is too old to say anything is forgotten."""
        for means in (self.models, self.routers):
            for mean in means.values():
                mean.fade(now_s)
            worth = sorted(means, key=lambda name: (-means[name].samples, name))
            for place, name in enumerate(worth):
                if place >= MOST or means[name].samples < _FORGOTTEN:
                    del means[name]
        speeds = {
            name: Speed(ttft_ms=mean.mean(0), tokens_per_s=mean.mean(1), samples=_few_digits(mean.samples))
            for name, mean in sorted(self.models.items())
        }
        mixes = {name: _mix(mean) for name, mean in sorted(self.routers.items())}
        return speeds, mixes


def _pace(sample: Sample) -> float | None:
    """Return output tokens a second, once they came; a whole answer's include the time to the first."""
    seconds = (sample.duration_ms - (sample.ttft_ms or 0.0)) / 1_000
    return None if sample.output_tokens < 2 or seconds <= 0 else sample.output_tokens / seconds


def _mix(mean: _Mean) -> Mix:
    given, cached, written, made = (mean.mean(place) or 0.0 for place in range(4))
    return Mix(input=given, cached=cached, cache_write=written, output=made, samples=_few_digits(mean.samples))


def _few_digits(value: float) -> float:
    return float(f"{value:.1g}")
