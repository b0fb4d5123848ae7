"""What an attempt costs and what a request comes to: exact, with unknown kept unknown."""

from collections.abc import Iterable
from datetime import datetime

from shared.contracts.plan import Candidate
from shared.contracts.pricing import price
from shared.contracts.usage import NO_TOKENS, Attempt, Tokens


def cost_of(tokens: Tokens, candidate: Candidate, at: datetime | None = None) -> int | None:
    """Return the cost of ``tokens`` at a candidate's prices in pico-USD; None where the price is unknown.

    ``at``: when the request arrived, for prices that depend on the hour. A subscription is paid for already.
    """
    if candidate.subscription:
        return 0
    return None if candidate.prices is None else price(tokens, candidate.prices, at)


def shadow_cost_of(tokens: Tokens, candidate: Candidate, at: datetime | None = None) -> int | None:
    """Return what ``tokens`` of a subscription would cost at API prices in pico-USD; None: unknown, or it is none."""
    if not candidate.subscription or candidate.prices is None:
        return None
    return price(tokens, candidate.prices, at)


def total_tokens(attempts: Iterable[Attempt]) -> Tokens:
    """Return the sum over the attempts; its source is the least certain one of those that counted anything."""
    counted = [attempt.tokens for attempt in attempts if attempt.tokens.source != "none"]
    if not counted:
        return NO_TOKENS
    if len(counted) == 1:
        return counted[0]
    sources = {tokens.source for tokens in counted}
    return Tokens(
        input=sum(tokens.input for tokens in counted),
        cached=sum(tokens.cached for tokens in counted),
        cache_write=sum(tokens.cache_write for tokens in counted),
        cache_write_1h=sum(tokens.cache_write_1h for tokens in counted),
        audio_input=sum(tokens.audio_input for tokens in counted),
        audio_output=sum(tokens.audio_output for tokens in counted),
        output=sum(tokens.output for tokens in counted),
        reasoning=sum(tokens.reasoning for tokens in counted),
        source="estimated" if "estimated" in sources else "partial" if "partial" in sources else "provider",
    )


def total_cost(attempts: Iterable[Attempt]) -> int | None:
    """Return the sum over the attempts in pico-USD; None when one of them is unknown."""
    total = 0
    for attempt in attempts:
        if attempt.cost is None:
            return None
        total += attempt.cost
    return total


def total_shadow_cost(attempts: Iterable[Attempt]) -> int | None:
    """Return the sum over the attempts at subscriptions in pico-USD, as far as it is known; None: there is none."""
    costs = [attempt.shadow_cost for attempt in attempts if attempt.shadow_cost is not None]
    return sum(costs) if costs else None
