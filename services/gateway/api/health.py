"""How the whole house is, as the gateway sees it: providers from the log, services by asking them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from services.gateway.projections.routes import Catalog, Health
from shared.routing.health import ProviderHealth

Readiness = Callable[[], Awaitable[list[str]]]
"""Asks one service why it is not ready; empty: it is."""


class HealthView:
    """Answers ``GET /admin/v1/health``."""

    def __init__(
        self,
        catalog: Catalog,
        health: Health,
        services: Mapping[str, Readiness],
        degraded: Callable[[], list[str]],
        log: Callable[[], dict[str, Any]],
    ) -> None:
        """``services`` are asked; ``degraded`` and ``log`` are known here."""
        self._catalog = catalog
        self._health = health
        self._services = services
        self._degraded = degraded
        self._log = log

    async def view(self) -> dict[str, Any]:
        """Return ``{status, services, providers, log, degraded}``."""
        services = {name: await ask() for name, ask in self._services.items()}
        degraded = self._degraded()
        return {
            "status": "degraded" if degraded or any(services.values()) else "ok",
            "services": [
                {"name": name, "ready": not reasons, "reasons": reasons} for name, reasons in services.items()
            ],
            "providers": [self._provider(found.provider_id, found.provider) for found in self._catalog.providers()],
            "log": self._log(),
            "degraded": degraded,
        }

    def _provider(self, provider_id: str, slug: str) -> dict[str, Any]:
        state = self._health.states.get(provider_id, ProviderHealth())
        return {
            "id": provider_id,
            "provider": slug,
            "health": state.health,
            "breaker": state.breaker,
            "cool_until": state.cool_until,
            "reason": self._health.reasons.get(provider_id) or None,
        }
