"""Sums of what was used by minute, hour and day, for each key, provider, model, router and status.

They are sums of whole numbers and counts in buckets, so that any two of them add up to a third: an hour is its minutes,
a key is its models. A request's own numbers are with the model that answered; what was tried is with the model that was
asked, which is another where a request fell back.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from services.metrics.domain.rows import AttemptRow, Entry, RequestRow

MINUTE: Final = 60
RESOLUTIONS: Final = (MINUTE, 3_600, 86_400)
"""Seconds."""

Group = tuple[str, str, str, str, str, str]
"""Key id, key name, router, provider, model, status; the empty text for none."""

GROWTH: Final = 1.1
"""From one bucket's upper bound to the next: a percentile is off by five hundredths at most."""


def _bounds() -> tuple[float, ...]:
    # by multiplication, which is exact to the last bit on every machine; logarithms are not
    bounds = [1.0]
    while bounds[-1] < 3_600_000:
        bounds.append(bounds[-1] * GROWTH)
    return tuple(bounds)


BOUNDS_MS: Final = _bounds()
"""Upper bounds of the latency buckets in milliseconds: from one to an hour; the last bucket has none."""


class Tally(msgspec.Struct, gc=False):
    """What one group used in one span of time."""

    requests: int = 0
    attempts: int = 0
    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost: int = 0
    """Pico-USD of what has a price."""
    shadow_cost: int = 0
    """Pico-USD that the answers of subscriptions would cost at API prices."""
    unpriced: int = 0
    """Requests that hold something of unknown price."""
    tried_provider: int = 0
    """Requests that came first to this provider here."""
    tried_model: int = 0
    tried: int = 0
    """Attempts at this model."""
    tried_input: int = 0
    tried_cached: int = 0
    tried_cache_write: int = 0
    tried_output: int = 0
    tried_reasoning: int = 0
    tried_cost: int = 0
    tried_shadow_cost: int = 0
    unpriced_provider: int = 0
    """Requests of which something at this provider is of unknown price."""
    unpriced_model: int = 0
    duration: dict[int, int] = msgspec.field(default_factory=dict[int, int])
    """Requests by the bucket of their duration."""
    ttft: dict[int, int] = msgspec.field(default_factory=dict[int, int])
    """Requests by the bucket of the time to their first content."""

    def copy(self) -> "Tally":
        """Return another of the same, to be changed apart."""
        return msgspec.structs.replace(self, duration=self.duration.copy(), ttft=self.ttft.copy())

    def add(self, other: "Tally") -> None:
        """Take over everything that ``other`` counted."""
        self.requests += other.requests
        self.attempts += other.attempts
        self.input += other.input
        self.cached += other.cached
        self.cache_write += other.cache_write
        self.output += other.output
        self.reasoning += other.reasoning
        self.cost += other.cost
        self.shadow_cost += other.shadow_cost
        self.unpriced += other.unpriced
        self.tried_provider += other.tried_provider
        self.tried_model += other.tried_model
        self.tried += other.tried
        self.tried_input += other.tried_input
        self.tried_cached += other.tried_cached
        self.tried_cache_write += other.tried_cache_write
        self.tried_output += other.tried_output
        self.tried_reasoning += other.tried_reasoning
        self.tried_cost += other.tried_cost
        self.tried_shadow_cost += other.tried_shadow_cost
        self.unpriced_provider += other.unpriced_provider
        self.unpriced_model += other.unpriced_model
        for bucket, count in other.duration.items():
            self.duration[bucket] = self.duration.get(bucket, 0) + count
        for bucket, count in other.ttft.items():
            self.ttft[bucket] = self.ttft.get(bucket, 0) + count


SUMS: Final = Tally.__struct_fields__[:-2]
"""The names of what is a number."""

Rolled = dict[tuple[int, Group], Tally]
"""By the beginning of the minute (Unix seconds) and the group."""


def roll(entries: Iterable[Entry], rolled: Rolled) -> None:
    """Add what ``entries`` add to ``rolled``, by minute and group."""
    for entry in entries:
        request = entry.request
        start = request.time_ms // 60_000 * MINUTE
        key_id, key_name, router = request.key_id or "", request.key_name or "", request.router or ""
        status = request.status
        place = (start, (key_id, key_name, router, request.provider or "", request.model or "", status))
        own = rolled.get(place)
        if not entry.attempts:
            if own is None:
                rolled[place] = _whole(request)
            else:
                own.add(_whole(request))
            continue
        if own is None:
            own = rolled[place] = Tally()
        _count(own, request)
        unpriced: set[str | None] = set()
        for attempt in entry.attempts:
            group = (key_id, key_name, router, attempt.provider or "", attempt.model or "", status)
            there = _tally(rolled, (start, group))
            _count_tried(there, attempt)
            if attempt.cost is None:
                # a provider's name holds no slash, a model's does
                there.unpriced_provider += attempt.provider not in unpriced
                there.unpriced_model += attempt.model not in unpriced
                unpriced |= {attempt.provider, attempt.model}


def coarser(rolled: Rolled, resolution: int) -> Rolled:
    """Return the sums of ``rolled`` over longer spans."""
    sums: Rolled = {}
    ours: set[tuple[int, Group]] = set()
    for (start, group), tally in rolled.items():
        place = (start - start % resolution, group)
        known = sums.get(place)
        if known is None:
            # most that is alone stays alone, and is shared
            sums[place] = tally
        elif place in ours:
            known.add(tally)
        else:
            sums[place] = sum_of(known, tally)
            ours.add(place)
    return sums


def sum_of(one: Tally, other: Tally) -> Tally:
    """Return a new tally of both."""
    both = one.copy()
    both.add(other)
    return both


def _tally(rolled: Rolled, place: tuple[int, Group]) -> Tally:
    found = rolled.get(place)
    if found is None:
        found = rolled[place] = Tally()
    return found


def _whole(row: RequestRow) -> Tally:
    """Return a request with its only attempt, or with none, which its own row tells all of."""
    plain, cached, cache_write = row.input_tokens, row.cached_tokens, row.cache_write_tokens
    output, reasoning, attempts = row.output_tokens, row.reasoning_tokens, row.attempts
    cost, shadow_cost, unpriced, ttft = row.known_cost, row.shadow_cost, int(row.cost is None), row.ttft_ms
    return Tally(
        1,
        attempts,
        plain,
        cached,
        cache_write,
        output,
        reasoning,
        cost,
        shadow_cost,
        unpriced,
        1,
        1,
        attempts,
        plain,
        cached,
        cache_write,
        output,
        reasoning,
        cost,
        shadow_cost,
        unpriced,
        unpriced,
        {bisect_left(BOUNDS_MS, row.duration_ms): 1},
        {} if ttft is None else {bisect_left(BOUNDS_MS, ttft): 1},
    )


def _count(tally: Tally, row: RequestRow) -> None:
    tally.requests += 1
    tally.attempts += row.attempts
    tally.input += row.input_tokens
    tally.cached += row.cached_tokens
    tally.cache_write += row.cache_write_tokens
    tally.output += row.output_tokens
    tally.reasoning += row.reasoning_tokens
    tally.cost += row.known_cost
    tally.shadow_cost += row.shadow_cost
    if row.cost is None:
        tally.unpriced += 1
    bucket = bisect_left(BOUNDS_MS, row.duration_ms)
    tally.duration[bucket] = tally.duration.get(bucket, 0) + 1
    if row.ttft_ms is not None:
        bucket = bisect_left(BOUNDS_MS, row.ttft_ms)
        tally.ttft[bucket] = tally.ttft.get(bucket, 0) + 1


def _count_tried(tally: Tally, row: AttemptRow) -> None:
    tally.tried_provider += row.first_of_provider
    tally.tried_model += row.first_of_model
    tally.tried += 1
    tally.tried_input += row.input_tokens
    tally.tried_cached += row.cached_tokens
    tally.tried_cache_write += row.cache_write_tokens
    tally.tried_output += row.output_tokens
    tally.tried_reasoning += row.reasoning_tokens
    tally.tried_cost += row.cost or 0
    tally.tried_shadow_cost += row.shadow_cost


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """Return the milliseconds below which ``share`` (0 to 1) of what was counted lie; None: nothing was."""
    total = sum(counts.values())
    if not total:
        return None
    wanted = share * total
    seen, bucket = 0, 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= wanted:
            break
    upper = BOUNDS_MS[min(bucket, len(BOUNDS_MS) - 1)]
    # the middle of the bucket, as far as ratios go
    return upper if bucket == 0 else upper * 2 / (1 + GROWTH)
