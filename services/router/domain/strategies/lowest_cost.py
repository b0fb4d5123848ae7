"""Cheaper models before dearer ones, by the price of a million tokens in a usual mix."""

from typing import Final

from shared.contracts.catalog import Model
from shared.routing.compile import Score

INPUT_PARTS: Final = 3
OUTPUT_PARTS: Final = 1
"""The mix: three input tokens for one output token, the blend in which model prices are usually compared
(https://artificialanalysis.ai/methodology); a router's own traffic says more once it has some."""
REQUEST_TOKENS: Final = 4_000
"""The size of a usual request, over which a price per request is spread."""

_PARTS: Final = INPUT_PARTS + OUTPUT_PARTS
_REQUESTS: Final = 1_000_000 // REQUEST_TOKENS
_LOCAL: Final = Score(0.0, because="local: costs nothing")
_UNPRICED: Final = Score(0.0, because="price unknown", tier=1)


def score(model: Model) -> Score:
    """Return USD per million tokens of the mix; a local model costs 0, an unknown price comes after every known one."""
    prices = model.prices
    if model.local:
        return _LOCAL
    if prices is None:
        return _UNPRICED
    pico = (INPUT_PARTS * prices.input + OUTPUT_PARTS * prices.output) / _PARTS + _REQUESTS * prices.request
    usd = pico / 10**12
    return Score(usd, because=f"${usd:.6g} per million tokens, {INPUT_PARTS} in : {OUTPUT_PARTS} out")
