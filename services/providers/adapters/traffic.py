"""What attempts say about providers: breakers, counters and one line of log each."""

from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter

from services.providers.projections.providers import ProviderView
from shared.contracts.frames import Completion, Fail, Tail

log: Final = structlog.get_logger("providers")


class TrafficWatch:
    """Counts attempts and feeds health."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "localrouter_attempts", "Attempts at providers by outcome.", ("provider", "outcome"), registry=registry
        )

    def admit(self, view: ProviderView) -> str | None:
        """Let it go."""
        return None

    def ended(self, view: ProviderView, request: Completion, outcome: Fail | Tail | None, duration_s: float) -> None:
        """Note how an attempt ended."""
        slug = view.spec.slug
        if isinstance(outcome, Fail):
            name, status = outcome.kind.value, outcome.http_status
        else:
            name, status = ("cancelled", None) if outcome is None else ("succeeded", 200)
        self._attempts.labels(slug, name).inc()
        log.info(
            "attempt",
            provider=slug,
            model=request.native_id,
            outcome=name,
            status=status,
            ms=round(duration_s * 1_000, 1),
            request=request.request_id,
        )
