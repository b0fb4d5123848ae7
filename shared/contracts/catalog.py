"""What is known of a model: the facts that decisions and costs are made from."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

from shared.contracts.envelope import EventData, event


class Capability(StrEnum):
    """What a model can do; a request's needs are a set of these."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    TOOLS = "tools"
    VISION = "vision"
    AUDIO = "audio"
    JSON_SCHEMA = "json_schema"
    REASONING = "reasoning"
    PREFILL = "prefill"


class Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Prices of tokens in pico-USD per million (``shared.kernel.money``); a class without its own costs as the one
    that it is a part of, and what is read from or written to a cache as input."""

    input: int
    output: int
    cached: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    reasoning: int | None = None


class Tier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a whole request costs that reads more input than ``above``."""

    above: int
    """Input tokens, those read from and written to a cache among them."""
    rates: Rates


class Hours(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What requests cost that arrive at a time of the day."""

    start: int
    """Minute of the day, UTC."""
    end: int
    """Minute of the day, not in it any more; before ``start``: on the next day."""
    rates: Rates
    tiers: tuple[Tier, ...] = ()


class Prices(Rates, frozen=True, kw_only=True, omit_defaults=True):
    """What a model costs: rates, and where they depend on the request or the hour."""

    request: int = 0
    """Pico-USD per request."""
    tiers: tuple[Tier, ...] = ()
    """By ``above``, rising."""
    hours: tuple[Hours, ...] = ()
    """Where none of them holds, the rates above do."""


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One model of one provider."""

    id: str
    """``<provider slug>/<native id>``."""
    provider_id: str
    provider: str
    """The provider's slug."""
    native_id: str
    """The id that the vendor knows it by: what is sent."""
    capabilities: tuple[Capability, ...] = (Capability.CHAT,)
    local: bool = False
    subscription: bool = False
    context_window: int | None = None
    max_output: int | None = None
    parameters_b: float | None = None
    quantization: str | None = None
    prices: Prices | None = None
    """None: unknown, which is never zero."""
    price_source: str | None = None
    price_version: str | None = None
    performance_class: int | None = None
    """The vendor's own ranking of the model where its parameter count is unknown: larger is more capable."""
    aliases: tuple[str, ...] = ()
    """Names without a slash that the operator gave it."""


class ProviderCatalog(msgspec.Struct, frozen=True, kw_only=True):
    """The models of one provider: the value of ``lr_catalog`` under ``<provider id>``."""

    provider_id: str
    provider: str
    models: tuple[Model, ...]
    refreshed_at: datetime | None = None
    """When the vendor last answered; None: never yet."""
    stale: bool = False
    """The vendor does not answer: these are the models last known."""
    epoch: int = 0
    """The fencing epoch of the lease under which it was written."""


@event("catalog.refreshed")
class CatalogRefreshed(EventData, frozen=True, kw_only=True):
    """The models of a provider changed (``LR_FACTS``)."""

    provider_id: str
    provider: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    revision: int = 0
    """The revision of ``lr_catalog`` that holds the models."""


@event("price.unknown")
class PriceUnknown(EventData, frozen=True, kw_only=True):
    """Models are offered whose price nobody knows, and were not so before (``LR_FACTS``)."""

    provider_id: str
    provider: str
    models: tuple[str, ...]


@event("plan.compiled")
class PlanCompiled(EventData, frozen=True, kw_only=True):
    """A plan was compiled and published (``LR_FACTS``), by content hash."""

    router_id: str
    plan_hash: str
    plan: bytes
    """The plan as published in ``lr_plans``."""


HealthState = Literal["unknown", "healthy", "degraded", "unhealthy"]
BreakerState = Literal["closed", "open", "half_open"]


@event("health.changed")
class HealthChanged(EventData, frozen=True, kw_only=True):
    """A provider's health or breaker changed (``LR_HEALTH``)."""

    provider_id: str
    provider: str
    health: HealthState
    breaker: BreakerState
    reason: str = ""
    epoch: int = 0
    cool_until: datetime | None = None
    """Stay away until then: a vendor's Retry-After."""
    fence: int = 0
    """The epoch of the prober's lease, as far as the writer knew it: it counts before ``epoch``."""


CredentialState = Literal["in_use", "cooling", "rejected"]


@event("health.credential.changed")
class CredentialHealthChanged(EventData, frozen=True, kw_only=True):
    """A vendor refuses a credential, or takes it again (``LR_HEALTH``)."""

    provider_id: str
    provider: str
    credential_id: str
    fingerprint: str
    """Of its value: another value under the same id is another credential."""
    state: CredentialState
    until: datetime | None = None
    """When a cooling one may be used again."""
    reason: str = ""
    epoch: int = 0
