"""What an attempt costs, to the last digit."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.accounting import cost_of, shadow_cost_of, total_cost, total_shadow_cost, total_tokens
from shared.contracts.catalog import Prices
from shared.contracts.plan import Candidate
from shared.contracts.pricing import price
from shared.contracts.usage import NO_TOKENS, Attempt, Tokens
from shared.kernel.money import format_usd, parse_usd

GPT = Prices(input=int(parse_usd("0.15")), output=int(parse_usd("0.60")), cached=int(parse_usd("0.075")))
COUNTS = st.integers(min_value=0, max_value=10**7)


def attempt(tokens: Tokens, cost: int | None = 0) -> Attempt:
    return Attempt(
        id="a",
        provider_id="p",
        provider="p",
        model="p/m",
        outcome="x",
        started_at="",
        duration_ms=0,
        tokens=tokens,
        cost=cost,
    )


@pytest.mark.parametrize(
    ("tokens", "prices", "expected"),
    [
        (Tokens(input=1_000_000, output=1_000_000, source="provider"), GPT, "0.75"),
        (Tokens(input=1, source="provider"), GPT, "0.00000015"),
        (Tokens(cached=3, source="provider"), GPT, "0.000000225"),
        (Tokens(cached=3, source="provider"), Prices(input=int(parse_usd("0.15")), output=0), "0.00000045"),
        (Tokens(cache_write=2, source="provider"), GPT, "0.0000003"),
        (Tokens(input=5, source="provider"), Prices(input=0, output=0), "0"),
        (Tokens(input=1, source="provider"), Prices(input=0, output=0, request=int(parse_usd("0.005"))), "0.005"),
        (NO_TOKENS, Prices(input=0, output=0, request=int(parse_usd("0.005"))), "0"),
        (Tokens(output=10, reasoning=4, source="provider"), GPT, "0.000006"),
    ],
)
def test_prices_by_class(tokens: Tokens, prices: Prices, expected: str) -> None:
    assert format_usd(price(tokens, prices)) == expected


def test_an_unknown_price_makes_the_total_unknown_and_never_zero() -> None:
    assert total_cost([attempt(NO_TOKENS, 5), attempt(NO_TOKENS, None)]) is None
    assert total_cost([attempt(NO_TOKENS, 5), attempt(NO_TOKENS, 6)]) == 11
    assert total_cost([]) == 0


@given(st.lists(st.builds(Tokens, input=COUNTS, cached=COUNTS, output=COUNTS, source=st.just("provider")), max_size=6))
def test_totals_are_sums_over_the_attempts(counts: list[Tokens]) -> None:
    total = total_tokens([attempt(tokens) for tokens in counts])
    for name in ("input", "cached", "output"):
        assert getattr(total, name) == sum(getattr(tokens, name) for tokens in counts)


def test_the_least_certain_source_names_the_total() -> None:
    told, guessed = Tokens(input=1, source="provider"), Tokens(input=1, source="estimated")
    assert total_tokens([attempt(told), attempt(guessed)]).source == "estimated"
    assert total_tokens([attempt(NO_TOKENS), attempt(told)]).source == "provider"


def test_a_subscription_costs_nothing_more_and_shows_what_it_would() -> None:
    tokens = Tokens(input=1_000_000, source="provider")
    paid = Candidate(provider_id="p", provider="p", model="p/m", native_id="m", capabilities=(), prices=GPT)
    subscribed = msgspec.structs.replace(paid, subscription=True)
    assert (cost_of(tokens, paid), shadow_cost_of(tokens, paid)) == (parse_usd("0.15"), None)
    assert (cost_of(tokens, subscribed), shadow_cost_of(tokens, subscribed)) == (0, parse_usd("0.15"))
    unpriced = msgspec.structs.replace(subscribed, prices=None)
    assert (cost_of(tokens, unpriced), shadow_cost_of(tokens, unpriced)) == (0, None)
    shadows = [msgspec.structs.replace(attempt(tokens), shadow_cost=cost) for cost in (None, 3, 4)]
    assert (total_shadow_cost(shadows), total_shadow_cost(shadows[:1])) == (7, None)
