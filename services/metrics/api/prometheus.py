"""``/metrics``: the counts of the ledger in Prometheus's text format, and how far behind the log it is."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from services.metrics.domain.counters import (
    BOUNDS,
    COST,
    DEAD_LETTERS,
    DURATION,
    OVERHEAD,
    REFUSALS,
    REQUESTS,
    SUM,
    TOKENS,
    TTFT,
    UNPRICED,
    Series,
)
from shared.runtime.asgi import Receive, Scope, Send, respond

_PICO: Final = 10**12
_MICRO: Final = 10**6

_ROUTE: Final = ("router", "provider", "model")
_COUNTERS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    REQUESTS: ("localrouter_requests", "Requests, by the model that answered and how they ended", (*_ROUTE, "status")),
    TOKENS: (
        "localrouter_tokens",
        "Tokens, by the model that counted them; reasoning is part of output",
        (*_ROUTE, "class"),
    ),
    COST: ("localrouter_cost_usd", "Cost in USD of everything whose price is known", _ROUTE),
    UNPRICED: ("localrouter_unpriced_requests", "Requests that hold something of unknown price", ()),
    REFUSALS: ("localrouter_refusals", "Requests refused before any model was asked, by the error's code", ("code",)),
    DEAD_LETTERS: ("localrouter_dead_letters", "Usage messages that were set aside because they do not read", ()),
}
_FROM_THE_START: Final[dict[str, Series]] = {UNPRICED: (), REFUSALS: ("no_candidate",), DEAD_LETTERS: ()}
"""What is shown before it ever happened, so that its first rise is seen as one."""
_HISTOGRAMS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    DURATION: ("localrouter_request_duration_seconds", "From a request's arrival to its end", ("provider", "model")),
    TTFT: (
        "localrouter_time_to_first_token_seconds",
        "From a request's arrival to its first content",
        ("provider", "model"),
    ),
    OVERHEAD: ("localrouter_gateway_overhead_seconds", "What LocalRouter itself took of a request", ()),
}


class Prometheus:
    """The registry of what the ledger counts, and the ASGI application that shows it."""

    def __init__(
        self,
        counts: Callable[[], Mapping[Series, int]],
        lag: Callable[[], int | None],
        look: Callable[[], Awaitable[None]],
    ) -> None:
        """``counts``: a copy of the counts; ``lag``: messages that the ledger is behind, None where nobody knows;
        ``look`` brings ``lag`` up to date."""
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Collector(counts, lag))
        self._look = look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a scrape."""
        await self._look()
        # thousands of series take tens of milliseconds to write
        body = await asyncio.to_thread(generate_latest, self.registry)
        await respond(send, 200, body, CONTENT_TYPE_LATEST.encode())


class _Collector(Collector):
    """Reads the counts when asked, so that counting costs the projection nothing but an addition per series."""

    def __init__(self, counts: Callable[[], Mapping[Series, int]], lag: Callable[[], int | None]) -> None:
        self._counts = counts
        self._lag = lag

    def collect(self) -> Iterator[Metric]:
        by_family: dict[str, list[tuple[Series, int]]] = {}
        for series, value in sorted(self._counts().items()):
            by_family.setdefault(series[0], []).append((series[1:], value))
        for key, (name, text, labels) in _COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=labels)
            scale = _PICO if key == COST else 1
            found = dict(by_family.get(key, ()))
            if key in _FROM_THE_START:
                found.setdefault(_FROM_THE_START[key], 0)
            for values, amount in found.items():
                counter.add_metric(values, amount / scale)
            yield counter
        for key, (name, text, labels) in _HISTOGRAMS.items():
            yield _histogram(HistogramMetricFamily(name, text, labels=labels), key, by_family.get(key, []))
        lag = self._lag()
        if lag is not None:
            yield GaugeMetricFamily(
                "localrouter_projection_lag_events", "Messages of the usage log not in the ledger yet", value=lag
            )


def _histogram(family: HistogramMetricFamily, key: str, counts: list[tuple[Series, int]]) -> HistogramMetricFamily:
    by_labels: dict[Series, dict[str, int]] = {}
    for series, value in counts:
        by_labels.setdefault(series[:-1], {})[series[-1]] = value
    bounds = (*(str(bound) for bound in BOUNDS[key]), "+Inf")
    for labels, found in by_labels.items():
        cumulative = 0
        buckets: list[tuple[str, float]] = []
        for index, bound in enumerate(bounds):
            cumulative += found.get(str(index), 0)
            buckets.append((bound, cumulative))
        family.add_metric(labels, buckets, sum_value=found.get(SUM, 0) / _MICRO)
    return family
