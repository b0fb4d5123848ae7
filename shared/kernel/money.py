"""Money as integers. Amounts are pico-USD (1e-12 USD), prices pico-USD per million tokens; no float anywhere."""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import NewType

PicoUsd = NewType("PicoUsd", int)
"""An amount in 1e-12 USD: exact, and a signed 64-bit column holds nine million dollars."""

PricePerMillion = NewType("PricePerMillion", int)
"""A price in pico-USD per one million tokens: $0.15/M is 150_000_000_000."""

_PICO = Decimal(10) ** 12
_DOLLAR = 10**12
_MILLION = 1_000_000


def parse_usd(text: str | Decimal | int) -> PicoUsd:
    """Read an amount in USD ("0.00015"); raises ValueError for anything that is no finite amount in range.

    A price in USD per million tokens is read by the same function: both count in 1e-12 USD.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"not an amount in USD: {text!r}") from error
    if not amount.is_finite() or abs(amount) > 9_000_000:
        raise ValueError(f"not an amount in USD between -9,000,000 and 9,000,000: {text!r}")
    return PicoUsd(int((amount * _PICO).to_integral_value(ROUND_HALF_EVEN)))


def format_usd(amount: int) -> str:
    """Return ``amount`` (pico-USD) as an exact decimal string in USD without trailing zeros."""
    if 0 < amount < _DOLLAR:
        # what nearly every request costs
        return f"0.{amount:012d}".rstrip("0")
    sign = "-" if amount < 0 else ""
    dollars, pico = divmod(abs(amount), _DOLLAR)
    return f"{sign}{dollars}.{pico:012d}".rstrip("0") if pico else f"{sign}{dollars}"


def token_cost(*classes: tuple[int, int]) -> PicoUsd:
    """Return the cost of ``(tokens, price per million)`` pairs, rounded once, half to even, to a pico-USD."""
    total = 0
    for tokens, price in classes:
        total += tokens * price
    quotient, rest = divmod(total, _MILLION)
    if rest * 2 > _MILLION or (rest * 2 == _MILLION and quotient % 2):
        quotient += 1
    return PicoUsd(quotient)
