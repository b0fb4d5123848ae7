"""What tokens cost at a model's prices: exact integers, the same wherever a bill is made or made again."""

from datetime import UTC, datetime

from shared.contracts.catalog import Prices, Rates
from shared.contracts.usage import Tokens
from shared.kernel.money import token_cost


def price(tokens: Tokens, prices: Prices, at: datetime | None = None) -> int:
    """Return the cost of ``tokens`` in pico-USD; nothing counted costs nothing, not even the request.

    ``at``: when the request arrived, which counts where prices depend on the hour; None: at no particular one.
    """
    if tokens.source == "none":
        return 0
    rates = rates_of(prices, tokens.input + tokens.cached + tokens.cache_write, at)
    if not (tokens.cached or tokens.cache_write or tokens.audio_input or tokens.audio_output or tokens.reasoning):
        return prices.request + token_cost((tokens.input, rates.input), (tokens.output, rates.output))
    cached = _or(rates.cached, rates.input)
    cache_write = _or(rates.cache_write, rates.input)
    # a vendor that counts a part larger than its whole is billed for the whole
    hour = min(tokens.cache_write_1h, tokens.cache_write)
    heard = min(tokens.audio_input, tokens.input)
    spoken = min(tokens.audio_output, tokens.output)
    thought = min(tokens.reasoning, tokens.output - spoken)
    return prices.request + token_cost(
        (tokens.input - heard, rates.input),
        (heard, _or(rates.audio_input, rates.input)),
        (tokens.cached, cached),
        (tokens.cache_write - hour, cache_write),
        (hour, _or(rates.cache_write_1h, cache_write)),
        (tokens.output - spoken - thought, rates.output),
        (spoken, _or(rates.audio_output, rates.output)),
        (thought, _or(rates.reasoning, rates.output)),
    )


def rates_of(prices: Prices, input_tokens: int, at: datetime | None = None) -> Rates:
    """Return what holds for a request that reads ``input_tokens`` (cached ones too) at a time: the highest tier that
    it exceeds, for all of its tokens."""
    rates, tiers = prices, prices.tiers
    if prices.hours and at is not None:
        moment = at.astimezone(UTC)
        minute = moment.hour * 60 + moment.minute
        for hours in prices.hours:
            if _within(minute, hours.start, hours.end):
                rates, tiers = hours.rates, hours.tiers
                break
    for tier in tiers:
        if input_tokens > tier.above:
            rates = tier.rates
    return rates


def _within(minute: int, start: int, end: int) -> bool:
    return start <= minute < end if start <= end else minute >= start or minute < end


def _or(value: int | None, other: int) -> int:
    return other if value is None else value
