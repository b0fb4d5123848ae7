"""The overlay of health: every provider's newest state, as the transitions in the log tell it."""

from dataclasses import dataclass, field
from datetime import datetime

from shared.contracts.catalog import BreakerState, HealthChanged, HealthState


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """What is known of a provider's health at the moment; unknown counts as healthy."""

    health: HealthState = "unknown"
    breaker: BreakerState = "closed"
    cool_until: datetime | None = None
    """Stay away until then."""


@dataclass(slots=True)
class HealthOverlay:
    """States by provider id, and the epoch that each was told in."""

    states: dict[str, ProviderHealth] = field(default_factory=dict[str, ProviderHealth])
    reasons: dict[str, str] = field(default_factory=dict[str, str])
    epochs: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Fence and epoch."""

    def take(self, changed: HealthChanged) -> None:
        """Take one transition; one of an older fence or epoch changes nothing."""
        order = changed.fence, changed.epoch
        if order < self.epochs.get(changed.provider_id, (0, 0)):
            return
        self.epochs[changed.provider_id] = order
        self.states[changed.provider_id] = ProviderHealth(changed.health, changed.breaker, changed.cool_until)
        self.reasons[changed.provider_id] = changed.reason
