"""The composition root of `localrouter up`: one log, all services, one port."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from services.gateway.api.health import Readiness
from services.gateway.app import Gateway
from services.gateway.app import build as build_gateway
from services.gateway.settings import GatewaySettings
from services.metrics.app import build as build_metrics
from services.metrics.settings import MetricsSettings
from services.providers.app import build as build_providers
from services.providers.settings import ProvidersSettings
from services.router.app import build as build_router
from services.router.settings import RouterSettings
from shared.log.port import SECRETS, EventLog
from shared.log.secrets import SecretStore
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.master_key import MasterKeys
from shared.runtime.process import Place
from shared.runtime.service import Service
from shared.runtime.store_key import rewrap_store_key

SERVICES = ("gateway", "router", "providers", "metrics")
"""Every service, each with its own user on the log."""

HOLDER = "embedded"
"""Names this process to leases: the folder's lock lets only one live."""


@dataclass(frozen=True, slots=True)
class House:
    """All services of one process."""

    gateway: Gateway
    others: Sequence[Service]

    async def start(self) -> None:
        """Start the services behind the gateway side by side, then the gateway."""
        await asyncio.gather(*(service.start() for service in self.others))
        await self.gateway.service.start()

    async def stop(self) -> None:
        """Stop the gateway first: what it ships is still projected; then the others, whatever becomes of it."""
        async with contextlib.AsyncExitStack() as stopping:
            for service in reversed((self.gateway.service, *self.others)):
                stopping.push_async_callback(service.stop)


def build(
    place: Place,
    logs: Mapping[str, EventLog],
    *,
    masters: MasterKeys,
    admin_token: str,
    backup: Callable[[], Awaitable[IO[bytes]]],
) -> House:
    """Wire all services; ``logs`` are the log as each service's own user, by service name."""
    settings, home = place.settings, place.home

    def secrets(name: str) -> SecretStore:
        return SecretStore(logs[name].bucket(SECRETS), masters)

    router = build_router(
        RouterSettings.from_settings(settings, home),
        log=logs["router"],
        snapshots=place.snapshots("router"),
        clock=SYSTEM_CLOCK,
        new_id=new_id,
        holder=HOLDER,
    )
    providers = build_providers(
        ProvidersSettings.from_settings(settings, home),
        log=logs["providers"],
        secrets=secrets("providers"),
        clock=SYSTEM_CLOCK,
        new_id=new_id,
        snapshots=place.snapshots("providers"),
        environ=place.environ,
        token=None,
        holder=HOLDER,
    )
    metrics = build_metrics(
        MetricsSettings.from_settings(settings, home),
        log=logs["metrics"],
        clock=SYSTEM_CLOCK,
        new_id=new_id,
        snapshots=place.snapshots("metrics"),
        token=None,
    )
    others = (providers.service, router, metrics)
    gateway = build_gateway(
        GatewaySettings.from_settings(settings, home),
        log=logs["gateway"],
        secrets=secrets("gateway"),
        completions=providers.completions,
        services={service.name: service.app for service in others},
        readiness={service.name: _readiness(service) for service in others},
        admin_token=admin_token,
        snapshots=place.snapshots("gateway"),
        clock=SYSTEM_CLOCK,
        new_id=new_id,
        masters=masters,
        backup=backup,
        rewrap_more=lambda ring: rewrap_store_key(home / "nats", ring),
        registries=[service.registry for service in others if service.registry is not None],
    )
    return House(gateway, others)


def _readiness(service: Service) -> Readiness:
    async def ask() -> list[str]:
        return service.not_ready()

    return ask
