"""Recorded traffic through another configuration of its router: who would have answered, at what cost, how quickly.

Both configurations are asked in the world of today (catalog, prices, measured speed), so that every difference is the
configuration's; a provider that was out when a request came is out in both. Tokens are taken as recorded.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from statistics import quantiles
from typing import Final

from services.router.domain.paces import Paces
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


@dataclass(frozen=True, slots=True)
class _Later:
    """An answer whose time is estimated once all records are in."""

    sides: tuple[Side, ...]
    model: str
    output_tokens: int
    request_id: str
    moved: bool


@dataclass(slots=True)
class Simulation:
    """Fed with the records of all routers one by one, in any order, and then finished."""

    router: str
    """The slug of the one whose traffic it is."""
    before_plan: Plan
    after_plan: Plan
    speeds: InitVar[Mapping[str, Speed]]
    provider_ids: Mapping[str, str]
    """By slug."""
    requests: int = 0
    moved: int = 0
    estimated: Counter[str] = field(default_factory=Counter[str])
    """Moved requests by what says how long they would have taken; the others count in no latency."""
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)
    moves: Counter[tuple[str | None, str | None]] = field(default_factory=Counter[tuple[str | None, str | None]])
    keys: dict[str, ByKey] = field(default_factory=dict[str, ByKey])
    skipped: Counter[str] = field(default_factory=Counter[str])
    _paces: Paces = field(init=False)
    _later: list[_Later] = field(default_factory=list[_Later])

    def __post_init__(self, speeds: Mapping[str, Speed]) -> None:
        self._paces = Paces(speeds)

    def take(self, records: Iterable[UsageRecord]) -> None:
        """Take records; those of other routers say how quick models are, and of requests that never came to a choice
        only the number is kept."""
        for record in records:
            self._paces.take(record)
            if record.router != self.router:
                continue
            if record.plan_hash is None:
                self.skipped["refused before a model was chosen"] += 1
            else:
                self._take(record)

    def finish(self) -> None:
        """Estimate what is not as recorded."""
        for item in self._later:
            estimate = self._paces.estimate(item.model, item.output_tokens, item.request_id)
            if estimate is None:
                continue
            if item.moved:
                self.estimated[estimate.by] += 1
            for side in item.sides:
                _note_latency(side, estimate.latency_ms)
        self._later.clear()

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
        self._add((self.before, key.before), first, record, moved=False)
        self._add((self.after, key.after), then, record, moved=moved)

    def _add(self, sides: tuple[Side, ...], candidate: Candidate | None, record: UsageRecord, *, moved: bool) -> None:
        """Note what the request comes to at a candidate; its time as recorded where this very model answered."""
        for side in sides:
            _add_cost(side, candidate, record)
        if candidate is None or record.status != _ANSWERED:
            return
        if candidate.model == record.model:
            for side in sides:
                _note_latency(side, record.duration_ms)
        elif len(self._later) < MOST_LATENCIES:
            self._later.append(_Later(sides, candidate.model, record.tokens.output, record.id, moved))

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


def _first(choice: Choice) -> Candidate | None:
    return choice.order[0] if choice.order else None


def _add_cost(side: Side, candidate: Candidate | None, record: UsageRecord) -> None:
    if candidate is None:
        side.refused += 1
        return
    cost = _cost(candidate, record)
    if cost is None:
        side.unpriced += 1
    else:
        side.cost += cost


def _note_latency(side: Side, latency_ms: float) -> None:
    if len(side.latencies_ms) < MOST_LATENCIES:
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
