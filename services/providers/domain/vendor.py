"""What a vendor is: the facts by which one that speaks known dialects is reached, as data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from services.providers.domain.canonical import Parameter
from services.providers.domain.dialect import Range
from shared.contracts.catalog import Capability


@dataclass(frozen=True, slots=True)
class Auth:
    """The header that carries the credential."""

    header: str = "authorization"
    prefix: str = "Bearer "

    def value(self, secret: str) -> str:
        """Return the header's value."""
        return self.prefix + secret


BEARER: Final = Auth()
CHAT: Final[Mapping[str, str]] = {"openai_chat": "/chat/completions"}
"""What most vendors speak: OpenAI's chat at its usual place."""


OPENAI_ALONE: Final = frozenset(
    {
        Parameter.AUDIO,
        Parameter.CACHE_KEY,
        Parameter.METADATA,
        Parameter.MODALITIES,
        Parameter.PREDICTION,
        Parameter.SERVICE_TIER,
        Parameter.STORE,
        Parameter.VERBOSITY,
        Parameter.WEB_SEARCH,
    }
)
"""Parameters of OpenAI's chat that vendors who speak it mostly do not name in their documentation."""
OPEN_SAMPLERS: Final = frozenset({Parameter.TOP_K, Parameter.MIN_P})
"""Parameters that servers of open models take in OpenAI's chat, and OpenAI does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One vendor. Paths are relative to the base URL; ``{model}`` in one is the vendor's id of the model."""

    slug: str
    name: str
    base_url: str | None
    """Where its API is; None: every provider of this vendor brings its own."""
    docs: str
    """The API's documentation, where these facts are from."""
    speaks: Mapping[str, str] = field(default_factory=lambda: dict(CHAT))
    """The dialects it speaks, with the path of each: requests of clients in the same dialect pass through."""
    speech: str = "openai_chat"
    """The dialect that it is asked in when the client speaks another."""
    embeds: str | None = None
    """The dialect that vectors are asked in; None: it has none."""
    only: Mapping[str, str] = field(default_factory=dict[str, str])
    """Pattern of the models that a dialect of ``speaks`` is limited to, where it is."""
    auth: Auth = BEARER
    credential: Literal["required", "optional", "none"] = "required"
    """Whether a credential is sent."""
    environment: str | None = None
    """The environment variable that customarily holds its key."""
    models_path: str | None = "/models"
    """Lists the models, costs nothing and needs the credential: also the health probe. None: it lists none, and what
    it answers at its base URL shows no more than that it is there."""
    lacks: frozenset[Parameter] = frozenset()
    """Parameters that its dialect knows and it does not take."""
    ranges: Mapping[Parameter, Range] = field(default_factory=dict[Parameter, Range])
    """What it allows of numbers, where that is less than its dialect."""
    quirks: frozenset[str] = frozenset()
    """Deviations from the dialect; each dialect's module names the ones it knows."""
    abort_stops_billing: bool = True
    """Whether closing the connection ends generation, so that nothing more is billed."""
    capabilities: tuple[Capability, ...] = (Capability.CHAT, Capability.TOOLS, Capability.JSON_SCHEMA)
    """What its models can do where neither its list nor their names say."""
    prefill: bool = False
    """Whether it continues a last message of the assistant's."""
    prefill_only: str | None = None
    """Pattern of the models that do, where not all do."""
    local: bool = False
    """Whether it runs on the operator's own machines and costs nothing."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Sent with every request."""
    price_book: str | None = None
    """Its id in the price data; None: no public price."""

    def continues(self, native_id: str) -> bool:
        """Whether a model continues a last message of the assistant's."""
        return self.prefill and (self.prefill_only is None or re.fullmatch(self.prefill_only, native_id) is not None)

    def probed(self, status: int) -> int:
        """Return what the status of a probe's answer counts as: without a list, any below 500 is as good as 200."""
        return 200 if self.models_path is None and status < 500 else status

    def path(self, dialect: str, native_id: str) -> str:
        """Return where requests of a dialect that it speaks go."""
        return self.speaks[dialect].replace("{model}", native_id)
