"""What Prometheus is told, counted from ledger rows: integers by series, with a bound on the number of series.

The counts are kept in the ledger's own database and change in the transaction that adds the rows. So a restart goes on
counting where it stopped without reading the ledger (which may be shortened by then), a redelivery counts nothing, and
a rebuild, which starts from an empty database, arrives at the same numbers instead of doubling them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final

from services.metrics.domain.rollups import Group, Rolled, Tally
from services.metrics.domain.rows import Entry, RequestRow

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

_BOUNDS_MS: Final = {name: tuple(bound * 1000 for bound in bounds) for name, bounds in BOUNDS.items()}

Route = tuple[str, str, str]
"""Router, provider and model; empty where there was none."""


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

    def tally(self, entries: Iterable[Entry], rolled: Rolled, dead_letters: int = 0) -> dict[Series, int]:
        """Return by how much ``entries``, ``rolled`` up as well, raise which counts; nothing changes until ``add``."""
        delta: dict[Series, int] = {}
        fresh: set[Route] = set()
        for (_, group), tally in rolled.items():
            self._count(delta, fresh, group, tally)
        for entry in entries:
            self._observe(delta, fresh, entry.request)
        if dead_letters:
            delta[DEAD_LETTERS,] = dead_letters
        return delta

    def add(self, delta: Mapping[Series, int]) -> None:
        """Take over what was committed."""
        for series, amount in delta.items():
            self.counts[series] = self.counts.get(series, 0) + amount
            if series[0] in (REQUESTS, TOKENS, COST) and series[1:4] != OTHER:
                self._routes.add((series[1], series[2], series[3]))

    def _count(self, delta: dict[Series, int], fresh: set[Route], group: Group, tally: Tally) -> None:
        route = self._bounded(fresh, *group[2:5])
        if tally.requests:
            _raise(delta, (REQUESTS, *route, group[5]), tally.requests)
        if tally.unpriced:
            _raise(delta, (UNPRICED,), tally.unpriced)
        if tally.tried_cost:
            _raise(delta, (COST, *route), tally.tried_cost)
        amounts = (
            tally.tried_input,
            tally.tried_cached,
            tally.tried_cache_write,
            tally.tried_output,
            tally.tried_reasoning,
        )
        for name, amount in zip(TOKEN_CLASSES, amounts, strict=True):
            if amount:
                _raise(delta, (TOKENS, *route, name), amount)

    def _observe(self, delta: dict[Series, int], fresh: set[Route], row: RequestRow) -> None:
        labels = self._bounded(fresh, row.router or "", row.provider or "", row.model or "")[1:]
        _observe(delta, DURATION, labels, row.duration_ms)
        if row.ttft_ms is not None:
            _observe(delta, TTFT, labels, row.ttft_ms)
        if row.overhead_ms is not None:
            _observe(delta, OVERHEAD, (), row.overhead_ms)
        if row.status == "refused":
            series = (REFUSALS, row.error_code or "")
            delta[series] = delta.get(series, 0) + 1

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


def _observe(delta: dict[Series, int], name: str, labels: Series, milliseconds: float) -> None:
    bucket = (name, *labels, str(bisect_left(_BOUNDS_MS[name], milliseconds)))
    delta[bucket] = delta.get(bucket, 0) + 1
    total = (name, *labels, SUM)
    delta[total] = delta.get(total, 0) + round(milliseconds * 1000)
