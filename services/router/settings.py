"""What the router needs to know of where it is."""

from dataclasses import dataclass
from pathlib import Path

from shared.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """The router's part of the settings."""

    host: str
    port: int
    burst_s: float = 0.05
    """Changes that come within this time are compiled together."""
    retry_s: float = 1.0
    """What could not be published is tried again after this time."""

    @classmethod
    def from_settings(cls, settings: Settings, home: Path) -> "RouterSettings":
        """Take the router's part out of all settings."""
        return cls(host=settings.services.host, port=settings.services.router_port)
