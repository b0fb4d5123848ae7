"""The configuration events of ``LR_CONFIG``: what was decided about keys, routers, providers and settings."""

from datetime import datetime
from typing import Literal

import msgspec

from shared.contracts.envelope import EventData, event


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a key's requests go: a model or a router, exactly one of the two."""

    model: str | None = None
    """``<provider slug>/<native id>``."""
    router: str | None = None
    """A router's slug."""

    def __post_init__(self) -> None:
        if (self.model is None) == (self.router is None):
            raise ValueError("a target is either a model or a router")


class KeyPolicies(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to do where two answers would be right."""

    drop_params: bool = False
    """Drop parameters the vendor does not know (named in a header) instead of refusing with 400."""
    unpriced: Literal["allow", "refuse"] = "allow"
    limits_unavailable: Literal["closed", "open"] = "closed"


class KeyOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that may be edited about a key."""

    name: str
    target: Target
    allowed: tuple[str, ...] = ()
    """Patterns over ``<provider>/<model>`` and ``router/<slug>`` that a request may name besides the target."""
    description: str = ""
    tags: dict[str, str] = {}
    endpoints: tuple[str, ...] = ()
    """Paths the key may use, such as ``/v1/chat/completions``; empty: all."""
    networks: tuple[str, ...] = ()
    """CIDR networks the caller must be in; empty: all."""
    max_body_bytes: int | None = None
    policies: KeyPolicies = KeyPolicies()
    expires_at: datetime | None = None


class KeyValue(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a key's value: its digest and enough to recognise it."""

    digest: bytes
    """HMAC-SHA-256 of the key under the pepper ``pepper_id``."""
    pepper_id: str
    prefix: str
    last4: str


@event("key.created")
class KeyCreated(EventData, frozen=True, kw_only=True):
    """An application's key exists; its value is known to nobody but the application."""

    key_id: str
    value: KeyValue
    options: KeyOptions


@event("key.changed")
class KeyChanged(EventData, frozen=True, kw_only=True):
    """A key is as ``options`` says from now on."""

    key_id: str
    options: KeyOptions


@event("key.enabled")
class KeyEnabled(EventData, frozen=True, kw_only=True):
    """The key may be used again."""

    key_id: str


@event("key.disabled")
class KeyDisabled(EventData, frozen=True, kw_only=True):
    """The key is refused with 403 until it is enabled."""

    key_id: str


@event("key.rotated")
class KeyRotated(EventData, frozen=True, kw_only=True):
    """The key has a new value; the old one works until ``grace_until``."""

    key_id: str
    value: KeyValue
    grace_until: datetime | None = None


@event("key.deleted")
class KeyDeleted(EventData, frozen=True, kw_only=True):
    """The key is gone for good; a rollback never revives it."""

    key_id: str


class Range(msgspec.Struct, frozen=True, omit_defaults=True):
    """A closed range; a missing end is open."""

    min: float | None = None
    max: float | None = None


class ModelSelection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which models a router may use: patterns over ``<provider>/<model>`` with ``*``."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()


class ModelFilters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model must be like; a model whose value is unknown is left out when a bound is set."""

    parameters_b: Range = Range()
    context: Range = Range()
    """Tokens."""
    price: Range = Range()
    """USD per million tokens, the larger of input and output price."""
    capabilities: tuple[str, ...] = ()


class Strategy(msgspec.Struct, frozen=True, omit_defaults=True):
    """One strategy of a composition and how near two scores must be to count as equal."""

    name: str
    tolerance: float = 0.0
    """Relative band in [0, 1): scores within it of the best are a tie that the next strategy breaks."""
    weights: dict[str, float] = {}
    """For ``weighted``: pattern over ``<provider>/<model>`` → its share; the first that fits counts, else 1."""


class AutomaticOrder(msgspec.Struct, frozen=True, tag_field="mode", tag="automatic", kw_only=True):
    """Ordered by strategies, lexicographically."""

    strategies: tuple[Strategy, ...]


class ManualOrder(msgspec.Struct, frozen=True, tag_field="mode", tag="manual", kw_only=True):
    """Ordered by hand: the models in this order and no others."""

    models: tuple[str, ...]


Order = AutomaticOrder | ManualOrder


class Fallback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a request may go when a candidate fails."""

    max_attempts: int = 6
    max_attempts_per_candidate: int = 3
    connect_ms: int = 5_000
    first_token_ms: int = 10_000
    first_token_slow_ms: int = 120_000
    """For reasoning models, for local ones that may have to load first, and for the last candidate."""
    idle_ms: int = 30_000
    """Silence between two tokens."""
    total_ms: int = 600_000
    backoff_ms: int = 300
    """Before the first retry; doubled for each further one, at most 5 s, spread by 20 %."""
    short_retry_after_ms: int = 2_000
    """A vendor's Retry-After up to this is waited for; a longer one sends the request elsewhere."""
    retry_share: float = 0.2
    """The part of a provider's requests in a minute that may be tried again there; ten always may."""


class RouterSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that may be edited about a router."""

    slug: str
    name: str
    order: Order
    models: ModelSelection = ModelSelection()
    filters: ModelFilters = ModelFilters()
    affinity: bool = False
    fallback: Fallback = Fallback()
    on_cut: Literal["error", "continue", "buffer"] = "error"


@event("router.created")
class RouterCreated(EventData, frozen=True, kw_only=True):
    """A router exists."""

    router_id: str
    spec: RouterSpec
    default: bool = False
    """Whether it is one of those that exist from the first start."""


@event("router.replaced")
class RouterReplaced(EventData, frozen=True, kw_only=True):
    """A router is as ``spec`` says from now on."""

    router_id: str
    spec: RouterSpec


@event("router.deleted")
class RouterDeleted(EventData, frozen=True, kw_only=True):
    """A router is gone."""

    router_id: str


class ProviderSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that may be edited about a provider."""

    slug: str
    vendor: str
    base_url: str
    enabled: bool = True
    local: bool = False
    subscription: bool = False
    options: "ProviderOptions" = msgspec.field(default_factory=lambda: ProviderOptions())


class ProviderOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What differs from the vendor's defaults."""

    models: tuple[str, ...] = ()
    """Model ids of a server that lists none."""
    headers: dict[str, str] = {}
    """Sent with every request; never a credential."""
    probe_interval_s: float = 30.0
    probe_timeout_s: float = 5.0
    degraded_after_s: float = 2.0
    breaker_failures: int = 3
    breaker_open_s: float = 60.0
    plan_reserve: float = 0.05
    """The share of a subscription's plan that is left untouched."""


@event("provider.added")
class ProviderAdded(EventData, frozen=True, kw_only=True):
    """A provider exists."""

    provider_id: str
    spec: ProviderSpec


@event("provider.changed")
class ProviderChanged(EventData, frozen=True, kw_only=True):
    """A provider is as ``spec`` says from now on."""

    provider_id: str
    spec: ProviderSpec


@event("provider.removed")
class ProviderRemoved(EventData, frozen=True, kw_only=True):
    """A provider is gone, and its secrets are purged."""

    provider_id: str


@event("provider.credential.set")
class CredentialSet(EventData, frozen=True, kw_only=True):
    """A credential was stored; the ciphertext is in ``lr_secrets`` under ``secret_id``, never here."""

    provider_id: str
    credential_id: str
    secret_id: str
    fingerprint: str
    name: str = ""


@event("provider.credential.removed")
class CredentialRemoved(EventData, frozen=True, kw_only=True):
    """A credential was removed and its secret purged."""

    provider_id: str
    credential_id: str


@event("settings.changed")
class SettingsChanged(EventData, frozen=True, kw_only=True):
    """The routed defaults, as they are from now on."""

    default_target: Target
    unpriced: Literal["allow", "refuse"] = "allow"


@event("name.taken")
class NameTaken(EventData, frozen=True, kw_only=True):
    """A name belongs to an aggregate: published with expected version 0, so names are unique."""

    kind: str
    name: str
    owner: str


@event("name.freed")
class NameFreed(EventData, frozen=True, kw_only=True):
    """A name may be taken again."""

    kind: str
    name: str
    owner: str


@event("alias.set")
class AliasSet(EventData, frozen=True, kw_only=True):
    """A model can be asked for by a name of the operator's."""

    alias_id: str
    name: str
    model: str
    """``<provider slug>/<native id>``."""


@event("alias.removed")
class AliasRemoved(EventData, frozen=True, kw_only=True):
    """The name leads nowhere any more."""

    alias_id: str
