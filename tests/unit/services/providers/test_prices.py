"""The price book: what sources say becomes versions, and which of them is believed."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import data_snapshot
from genai_prices.types import Usage

from services.providers.adapters.price_book import look_up
from services.providers.adapters.price_keeper import PriceKeeper
from services.providers.domain.catalog import Known
from services.providers.domain.prices import PRICES, Source, TakePrices, decide, evolve
from services.providers.domain.public_prices import prices_of
from services.providers.projections.prices import PricesFold
from shared.contracts.catalog import Prices
from shared.contracts.config import ProviderSpec
from shared.contracts.envelope import encode_event, wrap
from shared.contracts.price_book import GENAI, OVERRIDES, PriceBook, PricesChanged
from shared.contracts.pricing import price
from shared.contracts.usage import Tokens
from shared.kernel.errors import Refusal
from shared.log.aggregates import Aggregates
from shared.log.folds import FoldRunner
from shared.log.memory import MemoryLog
from shared.log.port import LR_CONFIG, Recorded
from shared.runtime.clock import SYSTEM_CLOCK, new_id

NOW = datetime(2026, 9, 1, tzinfo=UTC)
CHEAP, DEAR = Prices(input=1, output=2), Prices(input=10, output=20)
OPENAI = ProviderSpec(slug="mine", vendor="openai", base_url="https://api.openai.com/v1")


def changed(source: str, version: int = 1, **models: Prices) -> PricesChanged:
    return PricesChanged(source=source, version=version, effective_at=NOW, changed=models)


def take(found: dict[str, Prices | None], state: Source | None = None) -> list[PricesChanged]:
    events = decide(TakePrices("s", found, NOW), state or Source())
    assert not isinstance(events, Refusal)
    return [event for event in events if isinstance(event, PricesChanged)]


def test_a_version_holds_only_what_changed() -> None:
    state = evolve(Source(), changed("s", a=CHEAP, b=CHEAP))
    (event,) = take({"a": CHEAP, "b": DEAR, "c": None}, state)
    assert (event.version, event.changed, event.removed, event.more) == (2, {"b": DEAR}, (), False)


def test_saying_it_twice_is_no_version() -> None:
    state = evolve(Source(), changed("s", a=CHEAP))
    assert take({"a": CHEAP, "unknown": None}, state) == []


def test_a_price_that_is_no_longer_known_is_removed() -> None:
    (event,) = take({"a": None}, evolve(Source(), changed("s", a=CHEAP)))
    assert event.removed == ("a",)
    assert evolve(evolve(Source(), changed("s", a=CHEAP)), event).models == {}


def test_a_big_change_is_several_small_events_of_one_version() -> None:
    events = take({f"model-{place:05}": DEAR for place in range(5_000)})
    assert [event.version for event in events] == [1] * len(events)
    assert [event.more for event in events] == [True] * (len(events) - 1) + [False]
    largest = max(
        len(encode_event(wrap(event, event_id="i", time=NOW, source="providers", subject="prices/s")))
        for event in events
    )
    assert largest < 256 * 1024
    state = Source()
    for event in events:
        state = evolve(state, event)
    assert len(state.models) == 5_000


def test_a_price_below_zero_is_refused() -> None:
    refused = decide(TakePrices("s", {"a": Prices(input=1, output=1, cached=-1)}, NOW), Source())
    assert isinstance(refused, Refusal)


def test_the_operators_word_counts_before_the_vendors_and_that_before_public_lists() -> None:
    book = PriceBook()
    assert book.find(OPENAI, "p1", "gpt") is None
    book.apply(PricesChanged(source=GENAI, version=4, effective_at=NOW, changed={"openai/gpt": CHEAP}))
    assert (found := book.find(OPENAI, "p1", "gpt"))
    assert (found.prices, found.version) == (CHEAP, "genai-prices@4")
    book.apply(PricesChanged(source="openai/p1", version=1, effective_at=NOW, changed={"gpt": DEAR}))
    assert (found := book.find(OPENAI, "p1", "gpt"))
    assert found.version == "openai/p1@1"
    assert (other := book.find(OPENAI, "p2", "gpt"))
    assert other.version == "genai-prices@4"
    book.apply(PricesChanged(source=OVERRIDES, version=2, effective_at=NOW, changed={"mine/gpt": CHEAP}))
    assert (found := book.find(OPENAI, "p1", "gpt"))
    assert found.version == "overrides@2"
    book.apply(PricesChanged(source=OVERRIDES, version=3, effective_at=NOW, removed=("mine/gpt",)))
    assert (found := book.find(OPENAI, "p1", "gpt"))
    assert found.version == "openai/p1@1"


def test_a_model_keeps_the_version_at_which_its_price_was_set() -> None:
    book = PriceBook()
    book.apply(PricesChanged(source=GENAI, version=1, effective_at=NOW, changed={"openai/gpt": CHEAP}))
    book.apply(PricesChanged(source=GENAI, version=2, effective_at=NOW, changed={"openai/other": CHEAP}))
    assert (found := book.find(OPENAI, "p", "gpt"))
    assert found.version == "genai-prices@1"


async def test_what_a_source_says_is_found_at_once_and_written_once() -> None:
    log = MemoryLog()
    fold = PricesFold()
    runner = FoldRunner(log, fold)
    await runner.start()
    try:
        keeper = PriceKeeper(
            fold, runner, Aggregates(log, clock=SYSTEM_CLOCK, new_id=new_id, source="providers"), SYSTEM_CLOCK
        )
        assert await keeper.take("openai/p1", {"gpt": CHEAP, "other": None}) is None
        assert (found := keeper.find(OPENAI, "p1", "gpt"))
        assert found.prices == CHEAP
        before = (await log.position(LR_CONFIG)).sequence
        await keeper.take("openai/p1", {"gpt": CHEAP, "other": None})
        assert (await log.position(LR_CONFIG)).sequence == before
        assert (await Aggregates(log, clock=SYSTEM_CLOCK, new_id=new_id, source="x").load(PRICES, "openai/p1")).version
    finally:
        await runner.stop()
    again = PricesFold()
    again.load(fold.dump())
    assert again.find(OPENAI, "p1", "gpt") == found


def test_a_source_that_does_not_read_knows_no_price() -> None:
    fold = PricesFold()
    item = wrap(changed("openai/p1", gpt=CHEAP), event_id="i", time=NOW, source="p", subject="prices/openai/p1")
    fold.apply(Recorded(LR_CONFIG, "lr.config.prices.openai/p1", 1, b"", event=item))
    fold.apply(Recorded(LR_CONFIG, "lr.config.prices.openai/p1", 2, b""))
    assert fold.find(OPENAI, "p1", "gpt") is None
    assert len(fold.frozen()) == 1


def test_public_prices_are_exact() -> None:
    book = look_up({"openai": ["gpt-4o-mini", "no-such-model"]}, NOW)
    known = book.vendors["openai"]
    assert known["gpt-4o-mini"].prices == Prices(input=150_000_000_000, output=600_000_000_000, cached=75_000_000_000)
    assert known["no-such-model"] == Known()


_COUNTED = (
    Tokens(input=1_234, cached=567, output=89, source="provider"),
    Tokens(input=150_000, cached=20_000, output=7, source="provider"),
    Tokens(input=300_001, cached=1, cache_write=2_000, output=999, source="provider"),
)


@pytest.mark.parametrize("vendor", ["anthropic", "deepseek", "google", "mistral", "openai", "openrouter", "x-ai"])
@pytest.mark.parametrize("hour", [0, 2, 8, 13, 20])
def test_every_public_price_comes_to_what_its_own_library_says(vendor: str, hour: int) -> None:
    at = NOW.replace(hour=hour, minute=45)
    provider = next(one for one in data_snapshot.get_snapshot().providers if one.id == vendor)
    compared = 0
    for model in provider.models:
        prices = prices_of(model, at)
        if prices is None or "$ref" in model.id:
            continue
        for tokens in _COUNTED:
            usage = Usage(
                input_tokens=tokens.input + tokens.cached + tokens.cache_write,
                cache_read_tokens=tokens.cached,
                cache_write_tokens=tokens.cache_write,
                output_tokens=tokens.output,
            )
            expected = model.get_prices(at).calc_price(usage)["total_price"]
            assert Decimal(price(tokens, prices, at)) / 10**12 == pytest.approx(expected, abs=Decimal("1e-12")), (
                model.id
            )
            compared += 1
    assert compared >= 6
