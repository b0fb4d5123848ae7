"""What Prometheus is told, counted from ledger rows: integers by series, with a bound on the number of series.

The counts are kept in the ledger's own database and change in the transaction that adds the rows. So a restart goes on
counting where it stopped without reading the ledger (which may be shortened by then), a redelivery counts nothing, and
a rebuild, which starts from an empty database, arrives at the same numbers instead of doubling them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final

from services.metrics.domain.rollups import Rolled
from services.metrics.domain.rows import Entry

Series = tuple[str, ...]
"""The name of a count, then its label values in the order that its family declares."""

REQUESTS: Final = "requests"
TOKENS: Final = "tokens"
COST: Final = "cost"
UNPRICED: Final = "unpriced"
REFUSALS: Final = "refusals"
DEAD_LETTERS: Final = "dead_letters"
DURATION: Final = "duration"
TTFT: Final = "ttft"
OVERHEAD: Final = "overhead"

TOKEN_CLASSES: Final = ("input", "cached", "cache_write", "output", "reasoning")
SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds of what a model takes, in seconds."""
OVERHEAD_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Upper bounds of what LocalRouter itself takes, in seconds."""
BOUNDS: Final = {DURATION: SECONDS, TTFT: SECONDS, OVERHEAD: OVERHEAD_SECONDS}
SUM: Final = "sum"
"""In the place of a bucket's number: the sum of a histogram in microseconds."""

MAX_LABEL_SETS: Final = 500
"""Of router, provider and model together; what comes later is counted as ``other``."""
OTHER: Final = ("other", "other", "other")

_SECONDS_MS: Final = tuple(bound * 1000 for bound in SECONDS)
_OVERHEAD_MS: Final = tuple(bound * 1000 for bound in OVERHEAD_SECONDS)

Route = tuple[str, str, str]
"""Router, provider and model; empty where there was none."""


class Observed:
    """What requests show apart from sums: histograms, whose last element is the sum of what is in them."""

    def __init__(self) -> None:
        self.routes: dict[tuple[str | None, str | None, str | None], tuple[list[int], list[int]]] = {}
        """By router, provider and model: how long they took, and their first content."""
        self.overhead = _empty(OVERHEAD)
        self.refusals: dict[str, int] = {}
        """By error code."""

    def take(self, entries: Iterable[Entry]) -> None:
        """Take what ``entries`` show."""
        routes, overhead, refusals = self.routes, self.overhead, self.refusals
        for entry in entries:
            row = entry.request
            route = (row.router, row.provider, row.model)
            found = routes.get(route)
            if found is None:
                found = routes[route] = (_empty(DURATION), _empty(TTFT))
            duration, ttft = found
            duration[bisect_left(_SECONDS_MS, row.duration_ms)] += 1
            duration[-1] += round(row.duration_ms * 1000)
            if row.ttft_ms is not None:
                ttft[bisect_left(_SECONDS_MS, row.ttft_ms)] += 1
                ttft[-1] += round(row.ttft_ms * 1000)
            if row.overhead_ms is not None:
                overhead[bisect_left(_OVERHEAD_MS, row.overhead_ms)] += 1
                overhead[-1] += round(row.overhead_ms * 1000)
            if row.status == "refused":
                refusals[row.error_code or ""] = refusals.get(row.error_code or "", 0) + 1


class Counters:
    """The counts as they stand, and the label sets that were given out so far."""

    def __init__(self, counts: Mapping[Series, int] | None = None, *, max_label_sets: int = MAX_LABEL_SETS) -> None:
        self.counts: dict[Series, int] = dict(counts or {})
        self._max_label_sets = max_label_sets
        self._routes: set[Route] = {
            (series[1], series[2], series[3])
            for series in self.counts
            if series[0] in (REQUESTS, TOKENS, COST) and series[1:4] != OTHER
        }

    def tally(self, rolled: Rolled, observed: Observed, dead_letters: int = 0) -> dict[Series, int]:
        """Return by how much entries, ``rolled`` up and ``observed``, raise which counts; nothing changes until
        ``add``."""
        delta: dict[Series, int] = {}
        fresh: set[Route] = set()
        self._count(delta, fresh, rolled)
        self._put(delta, fresh, observed)
        if dead_letters:
            delta[DEAD_LETTERS,] = dead_letters
        return delta

    def add(self, delta: Mapping[Series, int]) -> None:
        """Take over what was committed."""
        for series, amount in delta.items():
            self.counts[series] = self.counts.get(series, 0) + amount
            if series[0] in (REQUESTS, TOKENS, COST) and series[1:4] != OTHER:
                self._routes.add((series[1], series[2], series[3]))

    def _count(self, delta: dict[Series, int], fresh: set[Route], rolled: Rolled) -> None:
        # added up by route first: spans and keys make many tallies of few routes
        sums: dict[tuple[str, ...], list[int]] = {}
        for (_, group), tally in rolled.items():
            place = group[2:]
            found = sums.get(place)
            if found is None:
                found = sums[place] = [0] * (3 + len(TOKEN_CLASSES))
            found[0] += tally.requests
            found[1] += tally.unpriced
            found[2] += tally.tried_cost
            found[3] += tally.tried_input
            found[4] += tally.tried_cached
            found[5] += tally.tried_cache_write
            found[6] += tally.tried_output
            found[7] += tally.tried_reasoning
        for (*names, status), (requests, unpriced, cost, *tokens) in sums.items():
            route = self._bounded(fresh, *names)
            if requests:
                _raise(delta, (REQUESTS, *route, status), requests)
            if unpriced:
                _raise(delta, (UNPRICED,), unpriced)
            if cost:
                _raise(delta, (COST, *route), cost)
            for name, amount in zip(TOKEN_CLASSES, tokens, strict=True):
                if amount:
                    _raise(delta, (TOKENS, *route, name), amount)

    def _put(self, delta: dict[Series, int], fresh: set[Route], observed: Observed) -> None:
        by_labels: dict[Series, tuple[list[int], list[int]]] = {}
        for (router, provider, model), (duration, ttft) in observed.routes.items():
            labels = self._bounded(fresh, router or "", provider or "", model or "")[1:]
            known = by_labels.get(labels)
            by_labels[labels] = (
                (duration, ttft) if known is None else (_both(known[0], duration), _both(known[1], ttft))
            )
        for labels, (duration, ttft) in by_labels.items():
            _put(delta, (DURATION, *labels), duration)
            _put(delta, (TTFT, *labels), ttft)
        _put(delta, (OVERHEAD,), observed.overhead)
        for code, count in observed.refusals.items():
            delta[REFUSALS, code] = count

    def _bounded(self, fresh: set[Route], router: str, provider: str, model: str) -> Route:
        route = (router, provider, model)
        if route in self._routes or route in fresh:
            return route
        if len(self._routes) + len(fresh) >= self._max_label_sets:
            return OTHER
        fresh.add(route)
        return route


def _raise(delta: dict[Series, int], series: Series, amount: int) -> None:
    delta[series] = delta.get(series, 0) + amount


def _empty(name: str) -> list[int]:
    """Return a histogram of nothing: a count for each bucket, one above the last bound, and the sum."""
    return [0] * (len(BOUNDS[name]) + 2)


def _both(one: list[int], other: list[int]) -> list[int]:
    return [count + more for count, more in zip(one, other, strict=True)]


def _put(delta: dict[Series, int], series: Series, histogram: list[int]) -> None:
    *counts, total = histogram
    if any(counts):
        for bucket, count in enumerate(counts):
            if count:
                delta[*series, str(bucket)] = count
        delta[*series, SUM] = total
