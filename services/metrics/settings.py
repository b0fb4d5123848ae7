"""What the metrics service needs to know about where it is."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from shared.kernel.errors import StartRefused
from shared.runtime.settings import Database, Settings

_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database of a PostgreSQL server."""

    url: str
    """``postgresql://user@host:port/name``, without a password: what may be shown."""
    password: str | None = field(default=None, repr=False)
    schema: str = "ledger"
    """Where the tables are."""


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where the ledger and the access log are, and how long the latter is kept."""

    database: Path | Postgres
    """The ledger: a SQLite file, or a database of a server."""
    logs: Path
    """Folder of the access log."""
    access_days: int = 30
    """Days of access log to keep, today included."""
    measured_every_s: float = 60.0
    """How often what the traffic shows is told, where that is something new."""

    @classmethod
    def from_settings(cls, settings: Settings, home: Path) -> "MetricsSettings":
        """Pick what is needed; raises StartRefused for a database that is neither, or an unreadable password."""
        logs = home / "logs" if settings.log.folder is None else Path(settings.log.folder)
        return cls(database=_database(settings.database, home), logs=logs, access_days=settings.log.access_days)


def _database(database: Database, home: Path) -> Path | Postgres:
    url = "" if database.url is None else database.url.get_secret_value()
    if not url:
        return home / "ledger.db"
    if url.startswith(_SQLITE):
        return Path(url.removeprefix(_SQLITE))
    parts = urlsplit(url)
    if parts.scheme not in _POSTGRES or not parts.hostname or not parts.path.strip("/"):
        raise StartRefused(f"database.url must be postgresql://user@host:5432/name or {_SQLITE}<path>")
    who, _, where = parts.netloc.rpartition("@")
    user, _, inline = who.partition(":")
    shown = urlunsplit(("postgresql", f"{user}@{where}" if user else where, parts.path, parts.query, ""))
    return Postgres(shown, _password(database) or unquote(inline) or None)


def _password(database: Database) -> str | None:
    if database.password is not None:
        return database.password.get_secret_value()
    if database.password_file is None:
        return None
    try:
        return Path(database.password_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartRefused(f"database.password_file: {database.password_file} cannot be read: {error}") from error
