"""How quickly each model answered in recorded traffic: a sample of its answers, to estimate others by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from shared.contracts.speed import Speed
from shared.contracts.usage import UsageRecord
from shared.routing.choose import hash64

MOST_SAMPLES: Final = 1_000
"""Of one model."""
LEAST_SAMPLES: Final = 20
"""Fewer of them are no distribution."""


class Estimate(NamedTuple):
    """What an answer would have taken, and by what that is said."""

    latency_ms: float
    by: Literal["distribution", "mean"]


@dataclass(slots=True)
class Paces:
    """Fed with records of all routers, asked when all are in."""

    means: Mapping[str, Speed]
    """By model: what is measured of the traffic of late, for models without enough answers."""
    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict[str, list[tuple[float, float]]])
    """Milliseconds to the first token, and of each output token after it."""
    _seen: dict[str, int] = field(default_factory=dict[str, int])

    def take(self, record: UsageRecord) -> None:
        """Learn from one answer that nothing failed before."""
        output = record.tokens.output
        if record.status != "succeeded" or len(record.attempts) != 1 or not output or record.model is None:
            return
        first = record.ttft_ms if record.stream and record.ttft_ms is not None else 0.0
        sample = first, max(0.0, record.duration_ms - first) / output
        samples = self.samples.setdefault(record.model, [])
        seen = self._seen[record.model] = self._seen.get(record.model, 0) + 1
        if len(samples) < MOST_SAMPLES:
            samples.append(sample)
        elif (place := hash64(record.id) % seen) < MOST_SAMPLES:
            samples[place] = sample  # each of all has the same chance to be among them

    def estimate(self, model: str, output_tokens: int, request_id: str) -> Estimate | None:
        """Return what ``output_tokens`` would have taken: as one of the model's own answers, the same one every time
        for a request, else by its mean; None: nothing is known."""
        samples = self.samples.get(model, [])
        if len(samples) >= LEAST_SAMPLES:
            first, each = samples[hash64(request_id) % len(samples)]
            return Estimate(first + each * output_tokens, "distribution")
        speed = self.means.get(model)
        if speed is None or not speed.tokens_per_s:
            return None
        return Estimate((speed.ttft_ms or 0.0) + 1_000 * output_tokens / speed.tokens_per_s, "mean")
