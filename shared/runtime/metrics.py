"""``/metrics``: what the registries hold, in Prometheus's text form."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from shared.runtime.asgi import App, Receive, Scope, Send, respond


def metrics_app(*registries: CollectorRegistry) -> App:
    """Return the application that shows ``registries`` together; series of one name must differ by a label."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        # Read here, where what is read changes; thousands of series take tens of milliseconds to write.
        seen = CollectorRegistry(auto_describe=False)
        seen.register(_Seen(list(_together(registries))))
        body = await asyncio.to_thread(generate_latest, seen)
        await respond(send, 200, body, CONTENT_TYPE_LATEST.encode())

    return app


class Readiness(Collector):
    """Whether a service can do its job, read when it is asked for."""

    def __init__(self, service: str, not_ready: Callable[[], list[str]]) -> None:
        self._service = service
        self._not_ready = not_ready

    def collect(self) -> list[Metric]:
        """Return the gauge."""
        gauge = GaugeMetricFamily("localrouter_ready", "1: the service can do its job, 0: not.", labels=["service"])
        gauge.add_metric([self._service], 0.0 if self._not_ready() else 1.0)
        return [gauge]


class _Seen(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _together(registries: Sequence[CollectorRegistry]) -> Iterable[Metric]:
    """Return what the registries hold; a name that more than one of them has is announced once."""
    families: dict[str, Metric] = {}
    for registry in registries:
        for metric in registry.collect():
            known = families.get(metric.name)
            families[metric.name] = metric if known is None else _joined(known, metric)
    return families.values()


def _joined(one: Metric, other: Metric) -> Metric:
    joined = Metric(one.name, one.documentation, one.type, one.unit)
    joined.samples = [*one.samples, *other.samples]
    return joined
