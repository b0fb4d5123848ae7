"""What tokens cost at a model's prices: exact integers, the same wherever a bill is made or made again."""

from shared.contracts.catalog import Prices
from shared.contracts.usage import Tokens
from shared.kernel.money import token_cost


def price(tokens: Tokens, prices: Prices) -> int:
    """Return the cost of ``tokens`` in pico-USD; nothing counted costs nothing, not even the request."""
    if tokens.source == "none":
        return 0
    cached = prices.input if prices.cached is None else prices.cached
    cache_write = prices.input if prices.cache_write is None else prices.cache_write
    return prices.request + token_cost(
        (tokens.input, prices.input),
        (tokens.cached, cached),
        (tokens.cache_write, cache_write),
        (tokens.output, prices.output),
    )
