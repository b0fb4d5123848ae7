"""The shapes that usage and request records have on the wire."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from services.metrics.domain.questions import Usage, told_cost
from shared.contracts.usage import Attempt, Exclusion, Needs, RequestStatus, Tokens, TokenSource, UsageRecord
from shared.kernel.money import format_usd

CostUsd = Annotated[
    str | None, Field(description="Exact decimal in USD; null: the price is unknown, which is not zero")
]
ShadowCostUsd = Annotated[
    str | None,
    Field(
        description="What the answer of a subscription, which costs nothing more itself, would cost at API prices;"
        " null: these are unknown, or no subscription answered"
    ),
]


class TokenSums(BaseModel):
    """Tokens in disjoint classes (`reasoning` is a part of `output`)."""

    input: int = Field(description="Without cached and cache_write")
    cached: int
    cache_write: int
    output: int
    reasoning: int
    total: int = Field(description="input + cached + cache_write + output")


class Sums(BaseModel):
    """What was used."""

    requests: int
    succeeded: int = Field(description="Requests that succeeded")
    attempts: int
    tokens: TokenSums
    cost_usd: CostUsd = Field(description="Of everything whose price is known; null where nothing has a known price")
    shadow_cost_usd: str = Field(
        description="What the answers of subscriptions, which are not in cost_usd, would cost at API prices, as far as"
        " these are known"
    )
    unpriced_requests: int = Field(description="Requests of unknown or partly unknown cost")


class UsageItem(Sums):
    """What was used by one group; only what was grouped by is there."""

    key: str | None = Field(None, description="A key's id")
    key_name: str | None = None
    provider: str | None = None
    model: str | None = None
    router: str | None = None
    status: RequestStatus | None = None
    day: str | None = Field(None, description="YYYY-MM-DD, UTC")
    hour: str | None = Field(None, description="The hour's beginning, RFC 3339 UTC")


class UsageAnswer(BaseModel):
    """One page of groups, and the sums over everything that matches, in which a request counts once."""

    items: list[UsageItem]
    next_cursor: str | None = None
    totals: Sums


class TokenCounts(BaseModel):
    """The tokens of one request or attempt."""

    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int
    source: TokenSource


class NeedsShape(BaseModel):
    """What the request asked of a model."""

    capabilities: list[str]
    input_tokens: int
    output_tokens: int | None


class ExclusionShape(BaseModel):
    """A candidate that was passed over."""

    provider: str
    model: str
    cause: str
    value: str | None


class AttemptShape(BaseModel):
    """One try at one candidate."""

    id: str
    provider_id: str
    provider: str
    model: str
    credential_id: str | None
    outcome: str
    http_status: int | None
    error_code: str | None
    started_at: str
    duration_ms: float
    tokens: TokenCounts
    cost_usd: CostUsd
    shadow_cost_usd: ShadowCostUsd
    price_version: str | None
    resumed: bool = Field(description="Whether it went on with the answer of the attempt before, in the same stream")
    resent: bool = Field(description="Whether it was sent twice: first over a connection the vendor had closed")


class RequestShape(BaseModel):
    """One request's record; its totals are sums over the attempts."""

    id: str
    time: str
    key_id: str | None
    key_name: str | None
    router: str | None
    provider: str | None
    model: str | None
    requested_model: str | None
    dialect: str
    endpoint: str
    stream: bool
    status: RequestStatus
    http_status: int | None
    error_code: str | None
    tokens: TokenCounts
    cost_usd: CostUsd
    shadow_cost_usd: ShadowCostUsd
    price_version: str | None
    ttft_ms: float | None
    duration_ms: float
    overhead_ms: float | None
    needs: NeedsShape
    plan_hash: str | None
    inputs: dict[str, int]
    excluded: list[ExclusionShape]
    held: str | None
    busy: dict[str, int]
    attempts: list[AttemptShape]
    tags: dict[str, str]
    client: str | None
    client_request_id: str | None
    withheld: int


def sums(usage: Usage) -> dict[str, Any]:
    """Return sums for the wire."""
    return {
        "requests": usage.requests,
        "succeeded": usage.succeeded,
        "attempts": usage.attempts,
        "tokens": {
            "input": usage.input,
            "cached": usage.cached,
            "cache_write": usage.cache_write,
            "output": usage.output,
            "reasoning": usage.reasoning,
            "total": usage.input + usage.cached + usage.cache_write + usage.output,
        },
        "cost_usd": _cost(told_cost(usage.cost, unpriced=usage.unpriced, count=usage.requests)),
        "shadow_cost_usd": format_usd(usage.shadow_cost),
        "unpriced_requests": usage.unpriced,
    }


def request_shape(record: UsageRecord) -> RequestShape:
    """Return a record for the wire."""
    return RequestShape(
        id=record.id,
        time=record.time,
        key_id=record.key_id,
        key_name=record.key_name,
        router=record.router,
        provider=record.provider,
        model=record.model,
        requested_model=record.requested_model,
        dialect=record.dialect,
        endpoint=record.endpoint,
        stream=record.stream,
        status=record.status,
        http_status=record.http_status,
        error_code=record.error_code,
        tokens=_tokens(record.tokens),
        cost_usd=_cost(record.cost),
        shadow_cost_usd=_cost(record.shadow_cost),
        price_version=record.price_version,
        ttft_ms=record.ttft_ms,
        duration_ms=record.duration_ms,
        overhead_ms=record.overhead_ms,
        needs=_needs(record.needs),
        plan_hash=record.plan_hash,
        inputs=record.inputs,
        excluded=[exclusion_shape(each) for each in record.excluded],
        held=record.held,
        busy=record.busy,
        attempts=[_attempt(each) for each in record.attempts],
        tags=record.tags,
        client=record.client,
        client_request_id=record.client_request_id,
        withheld=record.withheld,
    )


def _attempt(attempt: Attempt) -> AttemptShape:
    return AttemptShape(
        id=attempt.id,
        provider_id=attempt.provider_id,
        provider=attempt.provider,
        model=attempt.model,
        credential_id=attempt.credential_id,
        outcome=attempt.outcome,
        http_status=attempt.http_status,
        error_code=attempt.error_code,
        started_at=attempt.started_at,
        duration_ms=attempt.duration_ms,
        tokens=_tokens(attempt.tokens),
        cost_usd=_cost(attempt.cost),
        shadow_cost_usd=_cost(attempt.shadow_cost),
        price_version=attempt.price_version,
        resumed=attempt.resumed,
        resent=attempt.resent,
    )


def _tokens(tokens: Tokens) -> TokenCounts:
    return TokenCounts(
        input=tokens.input,
        cached=tokens.cached,
        cache_write=tokens.cache_write,
        output=tokens.output,
        reasoning=tokens.reasoning,
        source=tokens.source,
    )


def _needs(needs: Needs) -> NeedsShape:
    return NeedsShape(
        capabilities=list(needs.capabilities), input_tokens=needs.input_tokens, output_tokens=needs.output_tokens
    )


def exclusion_shape(exclusion: Exclusion) -> ExclusionShape:
    """Return an exclusion for the wire."""
    return ExclusionShape(
        provider=exclusion.provider, model=exclusion.model, cause=exclusion.cause, value=exclusion.value
    )


def _cost(cost: int | None) -> str | None:
    return None if cost is None else format_usd(cost)
