"""What attempts say about providers: to the breaker, to the counters, and one line of log each."""

from functools import lru_cache
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.providers.adapters.health import HealthBoard, Permit
from services.providers.projections.providers import ProvidersFold, ProviderView
from shared.contracts.frames import Completion, Fail, Tail

log: Final = structlog.get_logger("providers")

_STATES: Final = {"closed": 0.0, "half_open": 1.0, "open": 2.0}


class TrafficWatch:
    """Lets attempts through and notes how they ended."""

    def __init__(self, health: HealthBoard, registry: CollectorRegistry) -> None:
        self._health = health
        self._attempts = Counter(
            "localrouter_attempts", "Attempts at providers by outcome.", ("provider", "outcome"), registry=registry
        )
        self._counted = lru_cache(maxsize=4096)(self._attempts.labels)

    def admit(self, view: ProviderView) -> Permit | None:
        """Let an attempt through, or not: the provider's breaker is open."""
        return self._health.admit(view)

    def ended(
        self,
        view: ProviderView,
        permit: Permit,
        request: Completion,
        outcome: Fail | Tail | None,
        duration_s: float,
    ) -> None:
        """An admitted attempt ended; None: it was cancelled."""
        self._health.ended(view, permit, outcome)
        if isinstance(outcome, Fail):
            name, status, error = outcome.kind.value, outcome.http_status, outcome.code
        else:
            name, status, error = ("cancelled", None, None) if outcome is None else ("succeeded", 200, None)
        slug = view.spec.slug
        self._counted(slug, name).inc()
        log.info(
            "attempt",
            provider=slug,
            model=request.native_id,
            outcome=name,
            status=status,
            ms=round(duration_s * 1_000, 1),
            request=request.request_id,
            # The vendor's code and not its words, which may repeat the prompt.
            **({} if error is None else {"error": error}),
        )


class ProviderStates(Collector):
    """Every provider's health and breaker, read when they are asked for."""

    def __init__(self, fold: ProvidersFold, health: HealthBoard) -> None:
        self._fold = fold
        self._health = health

    def collect(self) -> list[GaugeMetricFamily]:
        """Return the gauges."""
        up = GaugeMetricFamily(
            "localrouter_provider_up", "1: healthy or degraded, 0: unhealthy; absent: unknown.", labels=["provider"]
        )
        circuit = GaugeMetricFamily(
            "localrouter_circuit_state", "Breaker: 0 closed, 1 half-open, 2 open.", labels=["provider"]
        )
        for view in self._fold.all():
            state = self._health.state(view.id)
            if state.health != "unknown":
                up.add_metric([view.spec.slug], 0.0 if state.health == "unhealthy" else 1.0)
            circuit.add_metric([view.spec.slug], _STATES[state.breaker.state])
        return [up, circuit]
