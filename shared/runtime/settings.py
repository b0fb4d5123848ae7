"""Where am I: the settings of ``localrouter.yaml`` and ``LOCALROUTER_*``, with their defaults and what is allowed."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

VERSION = 1
"""The newest version of the settings file."""

Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """A part of the settings: unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(Section):
    """The public face."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 opens it to the network")
    port: Port = Field(3000, description="Port to listen on")
    allowed_hosts: list[str] = Field(
        default_factory=list, description="Host names to answer to, besides loopback and the machine's own"
    )
    cors_origins: list[str] = Field(
        default_factory=list, description="Web origins that may call, besides loopback on any port"
    )
    max_body_bytes: int = Field(32 * 1024 * 1024, ge=1024, description="Largest request body")
    header_timeout_s: float = Field(15, gt=0, description="Time a sender has for a request's headers")
    body_timeout_s: float = Field(60, gt=0, description="Time a sender has for a request's body")
    loopback_key: str | None = Field(
        None,
        min_length=1,
        description="Name of the key that Ollama clients on this machine have when they send none; null: no key",
    )
    shutdown_grace_s: float = Field(30, ge=0, description="Time running answers have to end on shutdown")


class Log(Section):
    """The log files; the access log is one a day, the application log rotates by size."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is written")
    folder: str | None = Field(None, description="Folder of the log files; null: logs/ in the data folder")
    terminal: Literal["warnings", "everything"] = Field(
        "warnings", description="What is said on stderr: warnings for people, or every event as a JSON line and no file"
    )
    max_bytes: int = Field(10 * 1024 * 1024, ge=10_000, description="Size at which the application log rotates")
    backups: int = Field(5, ge=0, description="Rotated application logs to keep")
    access_days: int = Field(30, ge=1, description="Days of access log to keep")


class Nats(Section):
    """The event log's server; url null: an own one is started on loopback (embedded)."""

    url: str | None = Field(None, description="nats://host:4222; null: start our own")
    user: str | None = Field(None, description="User of this service")
    password: SecretStr | None = Field(None, description="Its password")
    password_file: str | None = Field(None, description="File that holds its password")
    backup_user: str | None = Field(
        None, description="User that copies whole streams for a backup; null: that of this service"
    )
    backup_password: SecretStr | None = Field(None, description="Password of that user")
    backup_password_file: str | None = Field(None, description="File that holds that password")
    wait_s: float = Field(60, gt=0, description="How long a start waits for the server")
    max_store_bytes: int = Field(10 * 1024**3, ge=64 * 1024**2, description="Most the embedded store may take")


class Database(Section):
    """The ledger's database; url null: SQLite in the data folder."""

    url: SecretStr | None = Field(
        None,
        description="postgresql://user@host:5432/name, or sqlite:///path; null: ledger.db in the data folder",
    )
    password: SecretStr | None = Field(None, description="Password of the URL's user")
    password_file: str | None = Field(None, description="File that holds that password")


class Services(Section):
    """Where the other services are, when each runs in a process of its own."""

    router_url: str = "http://127.0.0.1:3001"
    providers_url: str = "http://127.0.0.1:3002"
    metrics_url: str = "http://127.0.0.1:3003"
    host: str = Field("127.0.0.1", description="Address that an internal service listens on")
    router_port: Port = 3001
    providers_port: Port = 3002
    metrics_port: Port = 3003
    token: SecretStr | None = Field(None, description="Service token that internal routes ask for")
    token_file: str | None = Field(None, description="File that holds the service token")


class Gateway(Section):
    """The gateway's own."""

    id: str = Field(
        "gateway-1",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Names this gateway in the usage log; auto: the first of gateway-1, gateway-2, … that nobody is",
    )


class Providers(Section):
    """The providers' own."""

    local_model: bool = Field(True, description="Offer the built-in SmolLM2 when it is installed")
    local_model_idle_s: float = Field(300, gt=0, description="Stop the built-in model after this long without use")
    ollama_url: str | None = Field(
        None, description="Where the Ollama is that the first start adds; null: http://localhost:11434"
    )
    catalog_interval_s: float = Field(300, gt=0, description="How often catalogs are refreshed")


class Settings(Section):
    """Everything in ``localrouter.yaml``."""

    version: Literal[1] = VERSION
    server: Server = Server()  # pyright: ignore[reportCallIssue]  pydantic's Field defaults
    log: Log = Log()  # pyright: ignore[reportCallIssue]
    nats: Nats = Nats()  # pyright: ignore[reportCallIssue]
    database: Database = Database()  # pyright: ignore[reportCallIssue]
    services: Services = Services()  # pyright: ignore[reportCallIssue]
    gateway: Gateway = Gateway()  # pyright: ignore[reportCallIssue]
    providers: Providers = Providers()  # pyright: ignore[reportCallIssue]
