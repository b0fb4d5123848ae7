"""The lists of models that vendors really sent: loaded, priced, and searched by what they say.

Skipped where the recordings do not lie beside the project.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from services.providers.adapters.price_book import look_up
from services.providers.domain.catalog import Listed, catalogued, read_list, read_tags, with_show
from services.providers.domain.prices import Source, TakePrices, decide
from services.providers.domain.registry import VENDORS
from services.providers.domain.search import ModelIndex, Search
from shared.contracts.catalog import Capability, Model, Prices
from shared.contracts.config import ProviderSpec
from shared.contracts.price_book import GENAI, PriceBook, PricesChanged
from shared.kernel.errors import Refusal
from shared.kernel.money import parse_usd
from tests.support.recordings import FOLDER, recorded

DAY = datetime(2026, 11, 1, 12, tzinfo=UTC)


def lists(vendor: str) -> dict[str, Listed]:
    """Return every model that a vendor's recorded lists hold; a row that was asked for alone is no list."""
    found: dict[str, Listed] = {}
    for case in recorded("models", "models"):
        body = case["response"]["body"]
        rows = body.get("data", body.get("models")) if isinstance(body, dict) else None
        if case["provider"] == vendor and isinstance(rows, list):
            found |= {model.native_id: model for model in read_list(body)}
    return found


def take(book: PriceBook, source: str, found: dict[str, Prices | None]) -> None:
    events = decide(TakePrices(source, found, DAY), Source())
    assert not isinstance(events, Refusal)
    for event in events:
        assert isinstance(event, PricesChanged)
        book.apply(event)


def loaded(slug: str) -> tuple[Model, ...]:
    listed, vendor = lists(slug), VENDORS[slug]
    spec = ProviderSpec(slug=slug, vendor=slug, base_url=vendor.base_url or "https://x.example")
    book = PriceBook()
    take(book, f"{slug}/p", {name: model.prices for name, model in listed.items() if model.prices})
    windows: dict[str, int | None] = {}
    if vendor.price_book is not None:
        known = look_up({vendor.price_book: list(listed)}, DAY).vendors[vendor.price_book]
        take(book, GENAI, {f"{slug}/{name}": model.prices for name, model in known.items()})
        windows = {name: model.context_window for name, model in known.items()}
    costs = partial(book.find, spec, "p")
    return catalogued(
        listed.values(),
        provider_id="p",
        spec=spec,
        vendor=vendor,
        windows=windows,
        costs=costs,
        aliases=lambda _: (),
    )


@pytest.mark.parametrize(
    ("slug", "models", "priced", "windows"),
    [
        ("anthropic", 10, 10, 10),
        ("cerebras", 3, 3, 3),
        ("deepseek", 2, 2, 2),
        ("gemini", 31, 18, 31),
        ("mistral", 40, 30, 30),
        ("openai", 129, 109, 94),
        ("openrouter", 456, 453, 456),
    ],
)
def test_a_recorded_list_loads_and_is_priced(slug: str, models: int, priced: int, windows: int) -> None:
    found = loaded(slug)
    facts = (
        len(found),
        sum(model.prices is not None for model in found),
        sum(model.context_window is not None for model in found),
    )
    print(slug, facts, [model.native_id for model in found if model.prices is None])
    assert [fact >= least for fact, least in zip(facts, (models, priced, windows), strict=True)] == [True] * 3, facts
    assert [model.id for model in found] == sorted(model.id for model in found)
    assert all(model.prices is None or model.price_version for model in found)


def test_openrouters_list_is_filtered_by_what_it_says() -> None:
    found = loaded("openrouter")
    index = ModelIndex(found)

    def ids(search: Search) -> list[str]:
        return [model.native_id for model in index.find(search, limit=1_000)]

    free = ids(Search(max_price=0))
    assert free
    assert all(index.get(f"openrouter/{name}").prices.output == 0 for name in free)  # type: ignore[union-attr]
    sonnet = index.get("openrouter/anthropic/claude-sonnet-4")
    assert sonnet is not None
    assert sonnet.prices is not None
    assert (sonnet.prices.cache_write_1h, sonnet.prices.tiers[0].above) == (parse_usd("6"), 199_999)
    assert sonnet.prices.tiers[0].rates.output == parse_usd("22.5")
    seeing = ids(Search(capabilities=(Capability.VISION, Capability.TOOLS), min_context=200_000))
    assert 20 <= len(seeing) < len(found)
    sized = ids(Search(min_parameters_b=60, max_parameters_b=80))
    assert sized
    assert all(any(digit in name for digit in "678") for name in sized)
    assert all("claude" in name for name in ids(Search(text="anthropic claude")))


def test_ollamas_tags_and_show_are_read() -> None:
    (tags,) = (case for case in recorded("ollama-tags", "models"))
    (show,) = (case for case in recorded("ollama-show", "models"))
    models = read_tags(tags["response"]["body"])
    assert len(models) == 2
    assert all(model.parameters_b and model.quantization for model in models)
    body: dict[str, Any] = show["response"]["body"]
    shown = with_show(models[0], body)
    assert shown.context_window
    assert shown.capabilities


def test_the_recordings_are_where_they_were() -> None:
    if not FOLDER.is_dir():
        pytest.skip(f"0 recorded lists: {FOLDER} is not there")
    assert sum(len(lists(slug)) for slug in ("anthropic", "gemini", "mistral", "openai", "openrouter")) >= 600
