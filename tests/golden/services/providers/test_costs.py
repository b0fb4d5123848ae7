"""What every recorded count of every vendor costs, to the last digit: by the service and, apart from it, in decimals.

The recordings themselves are read only where they lie beside the project; what they come to is in ``costs``.
"""

from collections import Counter
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec
import pytest

from shared.contracts.catalog import Prices
from shared.contracts.pricing import price
from shared.kernel.money import format_usd
from tests.support.cost_goldens import COUNTERS, DAY, FOLDER, RECORDINGS, Row, golden, recorded

VENDORS = sorted(path.stem for path in FOLDER.glob("*.json"))
Json = dict[str, Any]


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_count_is_read_and_priced_to_the_last_digit(vendor: str) -> None:
    costs = golden()[vendor]
    for row in costs.rows:
        tokens, prices = COUNTERS[row.api](row.usage), costs.prices[row.model]
        assert tokens == row.tokens, row
        assert (None if prices is None else format_usd(price(row.tokens, prices, DAY))) == row.cost, row


@pytest.mark.parametrize("vendor", VENDORS)
def test_decimals_come_to_the_same(vendor: str) -> None:
    costs = golden()[vendor]
    for row in costs.rows:
        prices = costs.prices[row.model]
        if prices is not None:
            assert in_decimals(row, prices) == Decimal(row.cost or "nothing"), row


def test_what_is_of_unknown_price_has_no_cost() -> None:
    rows = [(row, costs.prices[row.model]) for costs in golden().values() for row in costs.rows]
    assert all((row.cost is None) == (prices is None) for row, prices in rows)
    assert len(rows) >= 900
    assert sum(prices is None for _, prices in rows) >= 50


def test_the_goldens_hold_every_recorded_count() -> None:
    if not RECORDINGS.is_dir():
        pytest.skip(f"0 recorded counts: {RECORDINGS} is not there")
    found, written = recorded(), golden()
    assert found.keys() == written.keys()
    for vendor, costs in found.items():
        assert [as_said(row) for row in costs.rows] == [as_said(row) for row in written[vendor].rows], vendor
    print({vendor: len(costs.rows) for vendor, costs in found.items()})


def test_openrouters_own_bill_is_ours_where_it_charged_what_it_lists() -> None:
    outcomes = Counter(
        Decimal(row.said).quantize(Decimal("1e-12")) == Decimal(row.cost)
        for row in golden()["openrouter"].rows
        if row.said is not None and row.cost is not None
    )
    assert outcomes[True] >= 35
    assert outcomes[False] <= 18, "free models, searches, and prices that were others on the day of the recording"


def as_said(row: Row) -> bytes:
    """Without the cost, which is of the golden's prices."""
    return msgspec.json.encode((row.api, row.model, row.usage, row.tokens, row.said), order="deterministic")


def number(block: Json, *path: str) -> int:
    found: Any = block
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return int(found or 0)


def in_decimals(row: Row, prices: Prices) -> Decimal:
    """Return the cost in USD, from the vendor's block and nothing that the service made of it."""
    counts = COUNTED[row.api](row.usage)
    rates: Any = prices
    read = counts["input"] + counts["audio"] + counts["cached"] + counts["written"] + counts["hour"]
    for tier in prices.tiers:
        if read > tier.above:
            rates = tier.rates
    given, made = Decimal(rates.input), Decimal(rates.output)
    written = given if rates.cache_write is None else Decimal(rates.cache_write)
    total = (
        counts["input"] * given
        + counts["audio"] * (given if rates.audio_input is None else Decimal(rates.audio_input))
        + counts["cached"] * (given if rates.cached is None else Decimal(rates.cached))
        + counts["written"] * written
        + counts["hour"] * (written if rates.cache_write_1h is None else Decimal(rates.cache_write_1h))
        + (counts["output"] - counts["thought"] - counts["spoken"]) * made
        + counts["thought"] * (made if rates.reasoning is None else Decimal(rates.reasoning))
        + counts["spoken"] * (made if rates.audio_output is None else Decimal(rates.audio_output))
    )
    pico = (total / 1_000_000 + prices.request).quantize(Decimal(1), ROUND_HALF_EVEN)
    return pico / 10**12


def counts_of(**counts: int) -> Counter[str]:
    return Counter(counts)


def openai_chat(block: Json) -> Counter[str]:
    prompt, made = number(block, "prompt_tokens"), number(block, "completion_tokens")
    names = (("prompt_tokens_details", "cached_tokens"), ("prompt_cache_hit_tokens",), ("cached_tokens",))
    told = [number(block, *name) for name in (*names, ("num_cached_tokens",))]
    cached = min(next(filter(None, told), 0), prompt)
    written = min(number(block, "prompt_tokens_details", "cache_write_tokens"), prompt - cached)
    thought = number(block, "completion_tokens_details", "reasoning_tokens")
    if number(block, "total_tokens") == prompt + made + thought:
        made += thought
    plain = prompt - cached - written
    heard = min(number(block, "prompt_tokens_details", "audio_tokens"), plain)
    spoken = min(number(block, "completion_tokens_details", "audio_tokens"), made)
    thought = min(thought, made - spoken)
    return counts_of(
        input=plain - heard, audio=heard, cached=cached, written=written, output=made, spoken=spoken, thought=thought
    )


def openai_responses(block: Json) -> Counter[str]:
    given, made = number(block, "input_tokens"), number(block, "output_tokens")
    cached = min(number(block, "input_tokens_details", "cached_tokens"), given)
    written = min(number(block, "input_tokens_details", "cache_write_tokens"), given - cached)
    thought = number(block, "output_tokens_details", "reasoning_tokens")
    if number(block, "total_tokens") == given + made + thought:
        made += thought
    return counts_of(
        input=given - cached - written, cached=cached, written=written, output=made, thought=min(thought, made)
    )


def anthropic(block: Json) -> Counter[str]:
    hour = number(block, "cache_creation", "ephemeral_1h_input_tokens")
    return counts_of(
        input=number(block, "input_tokens"),
        cached=number(block, "cache_read_input_tokens"),
        written=number(block, "cache_creation_input_tokens") - hour,
        hour=hour,
        output=number(block, "output_tokens"),
    )


def gemini(block: Json) -> Counter[str]:
    def sound(name: str) -> int:
        return sum(number(row, "tokenCount") for row in block.get(name) or [] if row.get("modality") == "AUDIO")

    given = number(block, "promptTokenCount") + number(block, "toolUsePromptTokenCount")
    cached = min(number(block, "cachedContentTokenCount"), given)
    heard = min(max(sound("promptTokensDetails") - sound("cacheTokensDetails"), 0), given - cached)
    thought = number(block, "thoughtsTokenCount")
    made = number(block, "candidatesTokenCount") + thought
    spoken = sound("candidatesTokensDetails")
    return counts_of(
        input=given - cached - heard, audio=heard, cached=cached, output=made, spoken=spoken, thought=thought
    )


def cohere(block: Json) -> Counter[str]:
    units = block.get("billed_units") or block.get("tokens") or {}
    return counts_of(input=number(units, "input_tokens"), output=number(units, "output_tokens"))


def vectors(block: Json) -> Counter[str]:
    return counts_of(input=number(block, "prompt_tokens") or number(block, "total_tokens"))


def ollama(block: Json) -> Counter[str]:
    return counts_of(input=number(block, "prompt_eval_count"), output=number(block, "eval_count"))


COUNTED = {
    "openai-chat": openai_chat,
    "openai-completions": openai_chat,
    "openai-responses": openai_responses,
    "openai-embeddings": vectors,
    "anthropic-messages": anthropic,
    "gemini-generateContent": gemini,
    "cohere-chat": cohere,
    "cohere-embed": cohere,
    "ollama-chat": ollama,
    "ollama-generate": ollama,
}
