"""Recorded traffic through another configuration of its router: who would have answered, at what cost, how quickly.

Both configurations are asked in the world of today (catalog, prices, measured speed), so that every difference is the
configuration's; a provider that was out when a request came is out in both. Tokens are taken as recorded.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Final

from shared.contracts.plan import Candidate, Plan
from shared.contracts.pricing import price
from shared.contracts.speed import Speed
from shared.contracts.usage import Tokens, UsageRecord
from shared.kernel.clock import parse_rfc3339
from shared.routing.choose import Choice, choose
from shared.routing.health import ProviderHealth

_OUT: Final = frozenset({"unhealthy", "breaker_open", "cooling"})
"""Causes of the moment, which another configuration would have met too."""
_ANSWERED: Final = "succeeded"
MOST_LATENCIES: Final = 100_000


@dataclass(slots=True)
class Side:
    """What one configuration comes to."""

    cost: int = 0
    """Pico-USD of what has a price."""
    unpriced: int = 0
    """Requests whose model has none."""
    refused: int = 0
    """Requests that no model of the plan could take."""
    latencies_ms: list[float] = field(default_factory=list[float])

    def percentiles(self) -> dict[str, float] | None:
        """Return the 50th, 95th and 99th percentile of the latencies; None: there are too few."""
        if len(self.latencies_ms) < 2:
            return None
        cuts = quantiles(self.latencies_ms, n=100, method="inclusive")
        return {"p50": round(cuts[49], 1), "p95": round(cuts[94], 1), "p99": round(cuts[98], 1)}


@dataclass(slots=True)
class ByKey:
    """What one key's requests come to."""

    requests: int = 0
    moved: int = 0
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)


@dataclass(slots=True)
class Simulation:
    """Fed with records one by one, in any order."""

    before_plan: Plan
    after_plan: Plan
    speeds: Mapping[str, Speed]
    provider_ids: Mapping[str, str]
    """By slug."""
    requests: int = 0
    moved: int = 0
    measured: int = 0
    """Moved requests whose new model's speed is known: the others count in no latency."""
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)
    moves: Counter[tuple[str | None, str | None]] = field(default_factory=Counter[tuple[str | None, str | None]])
    keys: dict[str, ByKey] = field(default_factory=dict[str, ByKey])
    skipped: Counter[str] = field(default_factory=Counter[str])

    def take(self, records: Iterable[UsageRecord]) -> None:
        """Take records of the router's requests; of those that never came to a choice only the number is kept."""
        for record in records:
            if record.plan_hash is None:
                self.skipped["refused before a model was chosen"] += 1
            else:
                self._take(record)

    def _take(self, record: UsageRecord) -> None:
        before, after = self._choice(self.before_plan, record), self._choice(self.after_plan, record)
        first, then = _first(before), _first(after)
        key = self.keys.setdefault(record.key_name or record.key_id or "", ByKey())
        self.requests += 1
        key.requests += 1
        moved = (first.model if first else None) != (then.model if then else None)
        if moved:
            self.moved += 1
            key.moved += 1
            self.moves[first.model if first else None, then.model if then else None] += 1
        for side in (self.before, key.before):
            _add(side, first, record, self._latency(first, record))
        latency = self._latency(then, record)
        if moved and latency is not None:
            self.measured += 1
        for side in (self.after, key.after):
            _add(side, then, record, latency)

    def _choice(self, plan: Plan, record: UsageRecord) -> Choice:
        out = {self.provider_ids.get(item.provider, ""): item for item in record.excluded if item.cause in _OUT}
        return choose(
            plan,
            record.needs,
            {provider_id: ProviderHealth("unhealthy") for provider_id in out},
            now=parse_rfc3339(record.time),
            request_id=record.id,
            in_flight=record.busy,
            held=record.held if plan.affinity else None,
        )

    def _latency(self, candidate: Candidate | None, record: UsageRecord) -> float | None:
        """Return milliseconds: as recorded where this very model answered, else estimated from its measured speed."""
        if candidate is None or record.status != _ANSWERED:
            return None
        if candidate.model == record.model:
            return record.duration_ms
        speed = self.speeds.get(candidate.model)
        if speed is None or not speed.tokens_per_s:
            return None
        return (speed.ttft_ms or 0.0) + 1_000 * record.tokens.output / speed.tokens_per_s


def _first(choice: Choice) -> Candidate | None:
    return choice.order[0] if choice.order else None


def _add(side: Side, candidate: Candidate | None, record: UsageRecord, latency_ms: float | None) -> None:
    if candidate is None:
        side.refused += 1
        return
    cost = _cost(candidate, record)
    if cost is None:
        side.unpriced += 1
    else:
        side.cost += cost
    if latency_ms is not None and len(side.latencies_ms) < MOST_LATENCIES:
        side.latencies_ms.append(latency_ms)


def _cost(candidate: Candidate, record: UsageRecord) -> int | None:
    """Return what the request costs there in pico-USD: as recorded where that model answered it, failures included."""
    if candidate.model == record.model:
        return record.cost
    if candidate.prices is None:
        return 0 if candidate.local else None
    return price(_tokens(record), candidate.prices)


def _tokens(record: UsageRecord) -> Tokens:
    """Return the tokens of the attempt that answered: another model would not have met the failures before it."""
    answered = next((item for item in reversed(record.attempts) if item.outcome == _ANSWERED), None)
    return answered.tokens if answered is not None else record.tokens
