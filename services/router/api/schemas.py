"""What routers and plans look like in the admin API; unknown fields are errors."""

import re
import unicodedata
from typing import Annotated, Any, Literal, cast

import msgspec
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from services.router.domain.world import RouterView
from shared.contracts.catalog import Prices
from shared.contracts.config import RouterSpec
from shared.contracts.plan import Candidate, Plan
from shared.kernel.money import format_usd


class Shape(BaseModel):
    """A part of a document."""

    model_config = ConfigDict(extra="forbid")


class ModelSelection(Shape):
    """Which models a router may use: patterns over `<provider>/<model>` with `*`."""

    include: list[str] = Field(default=["*"], description="A model falls under one of these")
    exclude: list[str] = Field(default=[], description="and under none of these")


class Range(Shape):
    """A closed range; a missing end is open."""

    min: FiniteFloat | None = None
    max: FiniteFloat | None = None


class ModelFilters(Shape):
    """What a model must be like; a model whose value is unknown is left out where a bound is set."""

    parameters_b: Range = Field(default=Range(), description="Billions of parameters")
    context: Range = Field(default=Range(), description="Context window in tokens")
    price: Range = Field(default=Range(), description="USD per million tokens, the larger of input and output")
    capabilities: list[str] = []


class Strategy(Shape):
    """One strategy and how near two scores must be to count as equal."""

    name: str
    tolerance: FiniteFloat = Field(default=0.0, description="Relative band, 0 to less than 1")
    weights: dict[str, FiniteFloat] = Field(
        default={}, description="For `weighted`: pattern over `<provider>/<model>` to its share; the first that fits"
    )


class AutomaticOrder(Shape):
    """By strategies: the first decides, each further one breaks the ties of those before it."""

    mode: Literal["automatic"]
    strategies: list[Strategy]


class ManualOrder(Shape):
    """By hand: these models in this order, and no others."""

    mode: Literal["manual"]
    models: list[str]


Order = Annotated[AutomaticOrder | ManualOrder, Field(discriminator="mode")]


class Fallback(Shape):
    """How far a request may go when a candidate fails; times in milliseconds."""

    max_attempts: int = 6
    max_attempts_per_candidate: int = 3
    connect_ms: int = 5_000
    first_token_ms: int = 10_000
    first_token_slow_ms: int = 120_000
    idle_ms: int = 30_000
    total_ms: int = 600_000
    backoff_ms: int = Field(default=300, description="Before the first retry; doubled for each further one")
    short_retry_after_ms: int = Field(default=2_000, description="A vendor's Retry-After up to this is waited for")
    retry_share: FiniteFloat = Field(
        default=0.2, description="Part of a provider's requests in a minute that may be tried again there"
    )


class RouterIn(Shape):
    """A router as it is written; no more than `name` and `order` is needed."""

    name: str
    order: Order
    slug: str | None = Field(default=None, description="Made from the name where it is missing")
    models: ModelSelection = ModelSelection()
    filters: ModelFilters = ModelFilters()
    affinity: bool = False
    fallback: Fallback = Fallback()
    on_cut: Literal["error", "continue", "buffer"] = "error"

    def spec(self, slug: str | None = None) -> RouterSpec:
        """Return the specification; ``slug`` is the router's own, kept where none is given."""
        given = self.model_dump() | {"slug": self.slug or slug or slug_of(self.name)}
        return msgspec.convert(given, RouterSpec)


class RouterOut(BaseModel):
    """A router as it is read."""

    id: str
    slug: str
    name: str
    models: ModelSelection
    filters: ModelFilters
    order: Order
    affinity: bool
    fallback: Fallback
    on_cut: str
    default: bool = Field(description="Whether it exists from the first start")
    version: int


class PricesOut(BaseModel):
    """Decimal strings in USD: per million tokens, and per request."""

    input: str
    output: str
    cached: str | None = None
    cache_write: str | None = None
    request: str | None = None


class ReasonOut(BaseModel):
    """Why a candidate stands where it stands, for one strategy; smaller scores come first."""

    strategy: str
    score: float
    because: str


class CandidateOut(BaseModel):
    """One model at its place."""

    place: int
    provider: str
    model: str
    local: bool
    capabilities: list[str]
    context_window: int | None
    max_output: int | None
    parameters_b: float | None
    prices: PricesOut | None
    reasons: list[ReasonOut]


class LeftOutOut(BaseModel):
    """Models that were left out for one cause."""

    cause: str
    count: int
    examples: list[str]


class PlanOut(BaseModel):
    """What a router decides now, health apart."""

    slug: str
    hash: str
    candidates: list[CandidateOut]
    left_out: list[LeftOutOut]
    inputs: dict[str, int]


def slug_of(name: str) -> str:
    """Return the slug that a name makes: "Fast & Cheap" becomes ``fast-cheap``; empty where nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-")


def router_out(router: RouterView) -> RouterOut:
    """Return a router as it is read."""
    fields: dict[str, Any] = {name: _plain(getattr(router.spec, name)) for name in RouterSpec.__struct_fields__}
    return RouterOut(id=router.id, default=router.default, version=router.version, **fields)


def _plain(value: Any) -> Any:
    """Return builtins with every field there, defaults too."""
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        tag = {config.tag_field: config.tag} if config.tag_field else {}
        return tag | {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    if isinstance(value, tuple):
        return [_plain(item) for item in cast("tuple[Any, ...]", value)]
    return value


def plan_out(plan: Plan) -> PlanOut:
    """Return a plan as it is read."""
    return PlanOut(
        slug=plan.slug,
        hash=plan.hash,
        candidates=[_candidate_out(place, candidate) for place, candidate in enumerate(plan.candidates, 1)],
        left_out=[
            LeftOutOut(cause=item.cause, count=item.count, examples=list(item.examples)) for item in plan.left_out
        ],
        inputs=plan.inputs,
    )


def _candidate_out(place: int, candidate: Candidate) -> CandidateOut:
    return CandidateOut(
        place=place,
        provider=candidate.provider,
        model=candidate.model,
        local=candidate.local,
        capabilities=list(candidate.capabilities),
        context_window=candidate.context_window,
        max_output=candidate.max_output,
        parameters_b=candidate.parameters_b,
        prices=None if candidate.prices is None else _prices_out(candidate.prices),
        reasons=[ReasonOut(strategy=r.strategy, score=r.score, because=r.because) for r in candidate.reasons],
    )


def _prices_out(prices: Prices) -> PricesOut:
    return PricesOut(
        input=format_usd(prices.input),
        output=format_usd(prices.output),
        cached=None if prices.cached is None else format_usd(prices.cached),
        cache_write=None if prices.cache_write is None else format_usd(prices.cache_write),
        request=format_usd(prices.request) if prices.request else None,
    )
