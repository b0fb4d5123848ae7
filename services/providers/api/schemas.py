"""The admin API's shapes of providers, models and vendors."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from services.providers.domain.standing import Standing
from services.providers.domain.vendor import Vendor
from services.providers.projections.providers import ProviderView
from shared.contracts.catalog import BreakerState, HealthState, Model, Prices, Rates, Tier
from shared.contracts.config import ProviderOptions, ProviderSpec
from shared.kernel.money import format_usd

_Text = Annotated[str, Field(max_length=512)]


class Body(BaseModel):
    """A request's body: unknown names are errors."""

    model_config = ConfigDict(extra="forbid")


class OptionsIn(Body):
    """What differs from the vendor's defaults; what is not given stays as it is."""

    models: list[_Text] | None = Field(None, max_length=1000, description="Model ids of a server that lists none")
    headers: dict[str, _Text] | None = Field(None, max_length=50, description="Sent with every request; no credential")
    probe_interval_s: float | None = Field(None, ge=1, le=86_400)
    probe_timeout_s: float | None = Field(None, gt=0, le=300)
    degraded_after_s: float | None = Field(None, gt=0, le=300)
    breaker_failures: int | None = Field(None, ge=1, le=1000)
    breaker_open_s: float | None = Field(None, gt=0, le=86_400)
    plan_reserve: float | None = Field(
        None, ge=0, lt=1, description="The share of a subscription's plan that is left untouched"
    )

    def over(self, before: ProviderOptions) -> ProviderOptions:
        """Return ``before`` with what is given here."""
        given: dict[str, Any] = self.model_dump(exclude_none=True)
        if "models" in given:
            given["models"] = tuple(given["models"])
        return msgspec.structs.replace(before, **given)


class ProviderIn(Body):
    """A new provider: the vendor is enough where the vendor has an address of its own."""

    vendor: _Text
    slug: _Text | None = Field(None, description="What comes before the slash in its models' names; the vendor's own")
    base_url: Annotated[str, Field(max_length=2048)] | None = Field(None, description="The vendor's own")
    enabled: bool = True
    local: bool | None = Field(None, description="It may be in a private network, and costs nothing; the vendor's own")
    subscription: bool = False
    options: OptionsIn = OptionsIn()  # pyright: ignore[reportCallIssue]  pydantic's Field defaults

    def spec(self, vendor: Vendor | None) -> ProviderSpec:
        """Return what is asked for, with the vendor's defaults."""
        return ProviderSpec(
            slug=self.slug or self.vendor,
            vendor=self.vendor,
            base_url=(self.base_url or (vendor.base_url if vendor else None) or "").rstrip("/"),
            enabled=self.enabled,
            local=(vendor.local if vendor else False) if self.local is None else self.local,
            subscription=self.subscription,
            options=self.options.over(ProviderOptions()),
        )


class ProviderPatch(Body):
    """What to change about a provider; what is not given stays as it is."""

    slug: _Text | None = None
    base_url: Annotated[str, Field(max_length=2048)] | None = None
    enabled: bool | None = None
    local: bool | None = None
    subscription: bool | None = None
    options: OptionsIn | None = None

    def over(self, before: ProviderSpec) -> ProviderSpec:
        """Return ``before`` with what is given here."""
        given: dict[str, Any] = self.model_dump(exclude_none=True, exclude={"options"})
        if "base_url" in given:
            given["base_url"] = given["base_url"].rstrip("/")
        if self.options is not None:
            given["options"] = self.options.over(before.options)
        return msgspec.structs.replace(before, **given)


class TrialIn(ProviderIn):
    """A provider that is not saved, and a credential that is not kept."""

    credential: str | None = Field(None, min_length=1, max_length=8192, description="Else the environment's, if any")


class CredentialIn(Body):
    """A credential; another value for the same name replaces it."""

    value: str = Field(min_length=1, max_length=8192, description="Stored sealed, never shown again")
    name: str = Field("", max_length=64, description="Tells several credentials of one provider apart")


class CredentialOut(BaseModel):
    """What is shown of a credential."""

    id: str
    fingerprint: str
    source: Literal["stored", "environment"]
    state: Literal["in_use", "cooling", "rejected"]
    until: datetime | None = Field(None, description="When a cooling one is used again")
    reason: str = ""
    name: str = ""


class OptionsOut(BaseModel):
    """The options in force."""

    models: list[str]
    headers: dict[str, str]
    probe_interval_s: float
    probe_timeout_s: float
    degraded_after_s: float
    breaker_failures: int
    breaker_open_s: float
    plan_reserve: float


class ProviderOut(BaseModel):
    """A provider."""

    id: str
    slug: str
    vendor: str
    base_url: str
    enabled: bool
    local: bool
    subscription: bool
    credentials: list[CredentialOut]
    options: OptionsOut
    health: Literal["unknown", "healthy", "degraded", "unhealthy"]
    health_reason: str
    breaker: Literal["closed", "open", "half_open"]
    cool_until: datetime | None = Field(None, description="The vendor asked to be left alone until then")
    version: int


class RatesOut(BaseModel):
    """Prices of tokens in USD per million, as decimal strings; null: as the class that it is a part of."""

    input: str
    output: str
    cached: str | None
    cache_write: str | None
    cache_write_1h: str | None
    audio_input: str | None
    audio_output: str | None
    reasoning: str | None


class TierOut(RatesOut):
    """What a whole request costs that reads more than ``above`` tokens."""

    above: int


class HoursOut(RatesOut):
    """What requests cost that arrive at these hours."""

    start: str = Field(description="`HH:MM`, UTC")
    end: str = Field(description="`HH:MM`, UTC, not in it any more")
    tiers: list[TierOut]


class PricesOut(RatesOut):
    """What a model costs; ``request``: USD per request."""

    request: str
    tiers: list[TierOut]
    hours: list[HoursOut]


class ModelOut(BaseModel):
    """A model; null: unknown."""

    id: str
    provider: str
    model: str
    context_window: int | None
    max_output: int | None
    parameters_b: float | None
    quantization: str | None
    capabilities: list[str]
    prices: PricesOut | None
    price_source: str | None
    price_version: str | None
    aliases: list[str]
    local: bool
    health: Literal["unknown", "healthy", "degraded", "unhealthy"]
    stale: bool = Field(
        description="The last that is known: its vendor did not answer when it was asked for its models"
    )


class VendorOut(BaseModel):
    """A vendor that providers can be of."""

    slug: str
    name: str
    base_url: str | None
    dialect: str
    credential: Literal["required", "optional", "none"]
    environment: str | None
    local: bool
    docs: str


class TestOut(BaseModel):
    """What came of a test of the connection."""

    ok: bool
    health: Literal["unknown", "healthy", "degraded", "unhealthy"]
    reason: str
    http_status: int | None
    latency_ms: float


class FoundOut(BaseModel):
    """A model server that answers on this machine."""

    vendor: str
    name: str
    base_url: str
    models: list[str]
    provider: str | None = Field(None, description="The provider that it is already")


class DiscoveryOut(BaseModel):
    """What was found; nothing is added by itself."""

    items: list[FoundOut]


class RefreshOut(BaseModel):
    """The catalog after a refresh."""

    providers: int
    models: int


def credential_out(
    identity: str, fingerprint: str, standing: Standing, *, name: str = "", environment: bool = False
) -> CredentialOut:
    """Return a credential as it is shown."""
    return CredentialOut(
        id=identity,
        fingerprint=fingerprint,
        source="environment" if environment else "stored",
        state=standing.state,
        until=standing.until,
        reason=standing.reason,
        name=name,
    )


def provider_out(
    view: ProviderView,
    credentials: list[CredentialOut],
    shown: tuple[HealthState, str, BreakerState],
    cool_until: datetime | None,
) -> ProviderOut:
    """Return a provider as it is shown."""
    spec = view.spec
    return ProviderOut(
        id=view.id,
        slug=spec.slug,
        vendor=spec.vendor,
        base_url=spec.base_url,
        enabled=spec.enabled,
        local=spec.local,
        subscription=spec.subscription,
        credentials=credentials,
        options=OptionsOut.model_validate(msgspec.structs.asdict(spec.options) | {"models": list(spec.options.models)}),
        health=shown[0],
        health_reason=shown[1],
        breaker=shown[2],
        cool_until=cool_until,
        version=view.version,
    )


def model_out(model: Model, health: Any, *, stale: bool) -> ModelOut:
    """Return a model as it is shown."""
    return ModelOut(
        id=model.id,
        provider=model.provider,
        model=model.native_id,
        context_window=model.context_window,
        max_output=model.max_output,
        parameters_b=model.parameters_b,
        quantization=model.quantization,
        capabilities=[capability.value for capability in model.capabilities],
        prices=None if model.prices is None else prices_out(model.prices),
        price_source=model.price_source,
        price_version=model.price_version,
        aliases=list(model.aliases),
        local=model.local,
        health=health,
        stale=stale,
    )


def prices_out(prices: Prices) -> PricesOut:
    """Return prices as they are shown."""
    return PricesOut(
        **_rates(prices),
        request=format_usd(prices.request),
        tiers=_tiers(prices.tiers),
        hours=[
            HoursOut(**_rates(hours.rates), start=_hour(hours.start), end=_hour(hours.end), tiers=_tiers(hours.tiers))
            for hours in prices.hours
        ],
    )


def _tiers(tiers: tuple[Tier, ...]) -> list[TierOut]:
    return [TierOut(**_rates(tier.rates), above=tier.above) for tier in tiers]


def _hour(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _rates(rates: Rates) -> dict[str, Any]:
    amounts: dict[str, int | None] = {name: getattr(rates, name) for name in RatesOut.model_fields}
    return {name: None if amount is None else format_usd(amount) for name, amount in amounts.items()}


def vendor_out(vendor: Vendor) -> VendorOut:
    """Return a vendor as it is shown."""
    return VendorOut(
        slug=vendor.slug,
        name=vendor.name,
        base_url=vendor.base_url,
        dialect=vendor.speech,
        credential=vendor.credential,
        environment=vendor.environment,
        local=vendor.local,
        docs=vendor.docs,
    )
