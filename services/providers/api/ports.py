"""What the admin API asks of the rest of the service."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.providers.api.oauth import OAuthDesk
from services.providers.domain.discovery import Found
from services.providers.domain.health import Probed
from services.providers.domain.ports import Secrets
from services.providers.domain.search import ModelIndex
from services.providers.domain.standing import Standing
from services.providers.projections.aliases import AliasesFold
from services.providers.projections.providers import ProvidersFold, ProviderView
from shared.contracts.catalog import BreakerState, HealthState, Prices
from shared.contracts.config import ProviderSpec
from shared.contracts.price_book import Sheet
from shared.kernel.errors import Refusal
from shared.kernel.ids import NewId
from shared.log.aggregates import Aggregates


class HealthDesk(Protocol):
    """Knows how providers are."""

    def shown(self, provider_id: str) -> tuple[HealthState, str, BreakerState]:
        """Return health, why, and the breaker's state."""
        ...

    def cool_until(self, provider_id: str) -> datetime | None:
        """Return until when a vendor asked to be left alone; None: it did not."""
        ...

    def reset(self, view: ProviderView) -> None:
        """Close a provider's breaker by hand."""
        ...


class ProbeDesk(Protocol):
    """Asks vendors."""

    async def probe(self, view: ProviderView) -> Probed:
        """Probe now, with every credential."""
        ...

    async def try_out(self, spec: ProviderSpec, secret: str | None) -> tuple[Probed, HealthState, str]:
        """Probe what is not saved; returns health and why as well."""
        ...


class CatalogDesk(Protocol):
    """Knows the models."""

    def models(self) -> ModelIndex:
        """Return every model."""
        ...

    def stale(self, provider_id: str) -> bool:
        """Whether a provider's models are the last known, because its vendor does not answer."""
        ...

    async def settle(self) -> None:
        """Bring every model to what the price book says now."""
        ...

    async def refresh(self, provider_id: str) -> None:
        """Refresh one provider."""
        ...

    async def refresh_all(self) -> None:
        """Refresh every provider."""
        ...


class PriceDesk(Protocol):
    """Keeps the price book."""

    def sheets(self) -> dict[str, Sheet]:
        """Return every source of prices, by name."""
        ...

    async def take(
        self, source: str, found: Mapping[str, Prices | None], *, origin: str = "", actor: str = "providers"
    ) -> Refusal | None:
        """Note what a source says of models; None: it no longer knows."""
        ...


class CredentialDesk(Protocol):
    """Knows how credentials do."""

    def standing(self, view: ProviderView, credential_id: str) -> Standing:
        """Return how a credential stands."""
        ...

    def environment_fingerprint(self, view: ProviderView) -> str | None:
        """Return the fingerprint of the key that the environment brings, or None where it brings none."""
        ...


class DiscoveryDesk(Protocol):
    """Looks around on this machine."""

    async def look(self) -> list[Found]:
        """Return the model servers that answer."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything behind the admin API."""

    fold: ProvidersFold
    aggregates: Aggregates
    reached: Callable[[int], Awaitable[None]]
    """Waits until the fold holds a stream sequence of ``LR_CONFIG``."""
    secrets: Secrets
    health: HealthDesk
    probes: ProbeDesk
    catalog: CatalogDesk
    prices: PriceDesk
    aliases: AliasesFold
    alias_reached: Callable[[int], Awaitable[None]]
    """Waits until ``aliases`` holds a stream sequence of ``LR_CONFIG``."""
    credentials: CredentialDesk
    discovery: DiscoveryDesk
    oauth: OAuthDesk
    new_id: NewId
