"""What a vendor is: the facts by which one that speaks a known dialect is reached, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from shared.contracts.catalog import Capability

VendorDialect = Literal["openai_chat", "ollama"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One vendor. Paths are relative to the base URL."""

    slug: str
    name: str
    base_url: str | None
    """Where its API is; None: every provider of this vendor brings its own."""
    dialect: VendorDialect
    docs: str
    """The API's documentation, where these facts are from."""
    credential: Literal["required", "optional", "none"] = "required"
    """Whether a bearer token is sent."""
    environment: str | None = None
    """The environment variable that customarily holds its key."""
    chat_path: str = "/chat/completions"
    completions_path: str | None = None
    """Where it serves OpenAI's older completions; None: it has chat alone."""
    completions_models: str = ".*"
    """Pattern of the models that have completions where there are any."""
    models_path: str = "/models"
    """Lists the models, costs nothing and needs the credential: also the health probe."""
    stream_usage: bool = True
    """Whether it takes ``stream_options.include_usage``."""
    abort_stops_billing: bool = True
    """Whether closing the connection ends generation, so that nothing more is billed."""
    capabilities: tuple[Capability, ...] = (Capability.CHAT, Capability.TOOLS, Capability.JSON_SCHEMA)
    """What its models can do where neither its list nor their names say."""
    prefill: bool = False
    """Whether it continues a last message of the assistant's."""
    local: bool = False
    """Whether it runs on the operator's own machines and costs nothing."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Sent with every request."""
    price_book: str | None = None
    """Its id in the price data; None: no public price."""
