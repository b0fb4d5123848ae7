"""What the providers service needs to know of its place."""

from dataclasses import dataclass
from pathlib import Path

from shared.runtime.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvidersSettings:
    """The providers service's settings."""

    home: Path
    local_model: bool = True
    """Whether the built-in model is offered when it is installed."""
    local_model_idle_s: float = 300
    ollama_url: str | None = None
    """Where Ollama is at the first start; None: on this machine."""
    catalog_interval_s: float = 300

    @classmethod
    def from_settings(cls, settings: Settings, home: Path) -> "ProvidersSettings":
        """Take them from the settings file's."""
        own = settings.providers
        return cls(
            home=home,
            local_model=own.local_model,
            local_model_idle_s=own.local_model_idle_s,
            ollama_url=own.ollama_url,
            catalog_interval_s=own.catalog_interval_s,
        )
