"""Prices by class, by size of the request and by hour, to the last digit."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.catalog import Hours, Prices, Rates, Tier
from shared.contracts.pricing import price, rates_of
from shared.contracts.usage import Tokens
from shared.kernel.money import format_usd, parse_usd

USD = 10**12
CLAUDE = Prices(input=3 * USD, output=15 * USD, cached=3 * USD // 10, cache_write=15 * USD // 4, cache_write_1h=6 * USD)
HEARS = Prices(input=USD // 2, output=2 * USD, audio_input=40 * USD, audio_output=80 * USD)
TIERED = Prices(
    input=2 * USD,
    output=10 * USD,
    cached=USD // 5,
    tiers=(
        Tier(above=100_000, rates=Rates(input=3 * USD, output=12 * USD)),
        Tier(above=200_000, rates=Rates(input=4 * USD, output=15 * USD, cached=USD // 2)),
    ),
)
BY_NIGHT = Prices(input=2 * USD, output=4 * USD, hours=(Hours(start=990, end=30, rates=Rates(input=USD, output=USD)),))
COUNT = st.integers(min_value=0, max_value=10**7)
PRICE = st.integers(min_value=0, max_value=10**15)


def tokens(**counts: int) -> Tokens:
    return Tokens(**counts, source="provider")


@pytest.mark.parametrize(
    ("counted", "prices", "expected"),
    [
        (tokens(cache_write=1000, cache_write_1h=400), CLAUDE, "0.00465"),
        (tokens(cache_write=1000, cache_write_1h=1000), CLAUDE, "0.006"),
        (tokens(cache_write=10, cache_write_1h=99), CLAUDE, "0.00006"),
        (tokens(cache_write=1000, cache_write_1h=400), Prices(input=USD, output=0, cache_write=2 * USD), "0.002"),
        (tokens(input=100, audio_input=60), HEARS, "0.00242"),
        (tokens(output=50, audio_output=30), HEARS, "0.00244"),
        (tokens(output=50, reasoning=30), HEARS, "0.0001"),
        (tokens(output=50, reasoning=30), Prices(input=0, output=8 * USD, reasoning=3 * USD), "0.00025"),
    ],
)
def test_a_part_of_a_class_costs_its_own_price(counted: Tokens, prices: Prices, expected: str) -> None:
    assert format_usd(price(counted, prices)) == expected


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        (tokens(input=100_000, output=1), "0.20001"),
        (tokens(input=100_001, output=1), "0.300015"),
        (tokens(input=1, cached=200_000), "0.100004"),
        (tokens(input=1, cached=199_000, output=1), "0.597015"),
    ],
)
def test_beyond_a_tier_the_whole_request_costs_its_price(counted: Tokens, expected: str) -> None:
    assert format_usd(price(counted, TIERED)) == expected


@pytest.mark.parametrize(
    ("hour", "minute", "usd"),
    [(16, 29, "2"), (16, 30, "1"), (23, 59, "1"), (0, 0, "1"), (0, 29, "1"), (0, 30, "2"), (12, 0, "2")],
)
def test_hours_may_reach_beyond_midnight(hour: int, minute: int, usd: str) -> None:
    at = datetime(2026, 3, 1, hour, minute, tzinfo=UTC)
    assert format_usd(price(tokens(input=1_000_000), BY_NIGHT, at)) == usd
    elsewhere = at.astimezone(timezone(timedelta(hours=8)))
    assert rates_of(BY_NIGHT, 1, elsewhere) == rates_of(BY_NIGHT, 1, at)


def test_without_a_time_the_usual_price_holds() -> None:
    assert price(tokens(input=1_000_000), BY_NIGHT) == parse_usd("2")


@given(
    st.tuples(COUNT, COUNT, COUNT, COUNT),
    st.lists(PRICE, min_size=7, max_size=7),
    st.tuples(st.integers(min_value=0, max_value=100), st.integers(min_value=0, max_value=100)),
)
def test_a_cost_is_the_decimal_sum_rounded_once(
    counts: tuple[int, int, int, int], rates: list[int], percent: tuple[int, int]
) -> None:
    (input_, cached, write, output), (part, other) = counts, percent
    hour, heard = write * part // 100, input_ * other // 100
    prices = Prices(
        input=rates[0],
        output=rates[1],
        cached=rates[2],
        cache_write=rates[3],
        cache_write_1h=rates[4],
        audio_input=rates[5],
        request=rates[6],
    )
    counted = tokens(
        input=input_, cached=cached, cache_write=write, cache_write_1h=hour, audio_input=heard, output=output
    )
    pairs = ((input_ - heard, 0), (output, 1), (cached, 2), (write - hour, 3), (hour, 4), (heard, 5))
    exact = sum(Decimal(count) * rates[which] for count, which in pairs) / 1_000_000
    assert price(counted, prices) == rates[6] + int(exact.to_integral_value())
