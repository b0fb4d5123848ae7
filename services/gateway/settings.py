"""What the gateway needs to know about where it is."""

from dataclasses import dataclass, replace
from pathlib import Path

from shared.runtime.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """The gateway's settings."""

    gateway_id: str
    journal: Path
    """Folder of this gateway's journal."""
    host: str
    port: int
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 32 * 1024 * 1024
    body_timeout_s: float = 60.0
    loopback_key: str = ""
    """Name of the key of Ollama clients on this machine that send none; empty: they have none."""
    cut_off_after_s: float = 60.0
    """Cut off from the log for longer than this, readiness says so, and off loopback requests are refused."""

    @classmethod
    def from_settings(cls, settings: Settings, home: Path) -> "GatewaySettings":
        """Read them off ``localrouter.yaml`` and the data folder."""
        server = settings.server
        return cls(
            gateway_id=settings.gateway.id,
            journal=home / "journal" / settings.gateway.id,
            host=server.host,
            port=server.port,
            allowed_hosts=tuple(server.allowed_hosts),
            cors_origins=tuple(server.cors_origins),
            max_body_bytes=server.max_body_bytes,
            body_timeout_s=server.body_timeout_s,
            loopback_key=server.loopback_key or "",
        )

    def named(self, gateway_id: str) -> "GatewaySettings":
        """Return the same with another gateway's name and journal."""
        return replace(self, gateway_id=gateway_id, journal=self.journal.with_name(gateway_id))
