"""What the metrics service needs to know about where it is."""

from dataclasses import dataclass
from pathlib import Path

from shared.kernel.errors import StartRefused
from shared.runtime.settings import Settings

_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where the ledger and the access log are, and how long the latter is kept."""

    database: Path
    """The ledger's SQLite file."""
    logs: Path
    """Folder of the access log."""
    access_days: int = 30
    """Days of access log to keep, today included."""
    measured_every_s: float = 60.0
    """How often what the traffic shows is told, where that is something new."""

    @classmethod
    def from_settings(cls, settings: Settings, home: Path) -> "MetricsSettings":
        """Pick what is needed; raises StartRefused for a database that is not SQLite."""
        database = home / "ledger.db"
        if settings.database.url is not None:
            url = settings.database.url.get_secret_value()
            if not url.startswith(_SQLITE):
                raise StartRefused(f"database.url: only {_SQLITE}<path> is possible so far")
            database = Path(url.removeprefix(_SQLITE))
        logs = home / "logs" if settings.log.folder is None else Path(settings.log.folder)
        return cls(database=database, logs=logs, access_days=settings.log.access_days)
