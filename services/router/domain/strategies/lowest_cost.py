"""Cheaper models before dearer ones: what a million tokens of the router's own mix cost."""

from functools import partial
from typing import Final

from shared.contracts.catalog import Model, Prices
from shared.contracts.pricing import rates_of
from shared.contracts.speed import Mix
from shared.routing.scoring import Evidence, Score

USUAL: Final = Mix(input=3_000.0, output=1_000.0)
"""The mix of a router without traffic: three input tokens for one output token, the blend in which model prices are
usually compared (https://artificialanalysis.ai/methodology), in a request of 4,000 tokens."""
LEAST_SAMPLES: Final = 20.0
"""Fewer requests than that, after decay, make no mix."""

_LOCAL: Final = Score(0.0, because="local: costs nothing")
_SUBSCRIBED: Final = Score(0.0, because="subscription: paid for already")
_UNPRICED: Final = Score(0.0, because="price unknown", tier=1)


def score(model: Model, evidence: Evidence) -> Score:
    """Return USD per million tokens of the mix; a local model costs 0, one of a
    subscription nothing more, an unknown price comes after every known one."""
    if model.local:
        return _LOCAL
    if model.subscription:
        return _SUBSCRIBED
    if model.prices is None:
        return _UNPRICED
    mix = evidence.mix
    if mix is None or mix.samples < LEAST_SAMPLES:
        mix = USUAL
    usd = effective_usd(model.prices, mix)
    return Score(usd, because=partial(_in_words, usd, mix))


def effective_usd(prices: Prices, mix: Mix) -> float:
    """Return what a million tokens of ``mix`` cost in USD, the price per request spread over its tokens."""
    total = mix.input + mix.cached + mix.cache_write + mix.output
    if total <= 0:
        return 0.0
    rates = rates_of(prices, round(mix.input + mix.cached + mix.cache_write)) if prices.tiers else prices
    pico = mix.input * rates.input + mix.output * rates.output + 1_000_000 * prices.request
    if mix.cached:
        pico += mix.cached * (rates.input if rates.cached is None else rates.cached)
    if mix.cache_write:
        pico += mix.cache_write * (rates.input if rates.cache_write is None else rates.cache_write)
    return int(pico / total / 1_000 + 0.5) / 1e9  # to the nano-dollar: what is less is noise of the arithmetic


def _in_words(usd: float, mix: Mix) -> str:
    if mix is USUAL:
        return f"${usd:.6g} per million tokens, 3 in : 1 out"
    read = mix.input + mix.cached + mix.cache_write
    share = f", {mix.cached / read:.0%} cached" if mix.cached and read else ""
    return f"${usd:.6g} per million tokens, own mix {read / max(mix.output, 1.0):.3g} in : 1 out{share}"
