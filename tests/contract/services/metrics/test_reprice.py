"""What was used, at the prices of another time."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.contracts.catalog import Prices
from shared.contracts.config import ProviderAdded, ProviderSpec
from shared.contracts.envelope import EventData, wrap
from shared.contracts.price_book import GENAI, OVERRIDES, PricesChanged
from shared.contracts.usage import NO_TOKENS, Tokens
from shared.kernel.ids import uuid7
from shared.log.port import Append
from shared.testing.usage import attempt, usage_record
from tests.support.metrics import Rig

USD = 10**12
JANUARY, FEBRUARY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
OPENAI = ProviderSpec(slug="openai", vendor="openai", base_url="https://api.openai.com/v1")
MILLION = Tokens(input=1_000_000, source="provider")


async def decided(rig: Rig, kind: str, identity: str, *events: EventData) -> None:
    envelopes = [
        wrap(
            data,
            event_id=uuid7(0, (await rig.log.position("LR_CONFIG")).sequence.to_bytes(8, "big") + bytes([0, place])),
            time=JANUARY,
            source="providers",
            subject=f"{kind}/{identity}",
        )
        for place, data in enumerate(events)
    ]
    await rig.log.append(Append(f"lr.config.{kind}.{identity}", envelopes, None))


def priced(version: int, at: datetime, usd: int | None, *, source: str = GENAI, model: str = "openai/gpt") -> EventData:
    changed = {} if usd is None else {model: Prices(input=usd * USD, output=usd * USD)}
    removed = (model,) if usd is None else ()
    return PricesChanged(source=source, version=version, effective_at=at, changed=changed, removed=removed)


async def told(client: Any, **body: Any) -> tuple[str | None, str | None, int]:
    answer = await client.post("/admin/v1/reprice", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return found["recorded"]["cost_usd"], found["repriced"]["cost_usd"], found["repriced"]["unpriced"]


async def test_two_versions_of_prices_give_two_totals_and_change_nothing(rig: Rig) -> None:
    async with rig.running() as client:
        await decided(rig, "provider", "id-of-openai", ProviderAdded(provider_id="id-of-openai", spec=OPENAI))
        await decided(rig, "prices", GENAI, priced(1, JANUARY, 2), priced(2, FEBRUARY, 3))
        records = [usage_record(number, attempt(tokens=MILLION, cost=2 * USD)) for number in (1, 2, 3)]
        await rig.publish(*records)
        await rig.projected(client)
        assert await told(client, as_of="genai-prices@1") == ("6", "6", 0)
        assert await told(client, as_of="genai-prices@2") == ("6", "9", 0)
        assert await told(client) == ("6", "9", 0)
        assert await told(client, as_of="2026-01-15T00:00:00Z") == ("6", "6", 0)
        assert (await client.get("/admin/v1/usage")).json()["totals"]["cost_usd"] == "6"


async def test_before_there_was_a_price_the_cost_is_unknown(rig: Rig) -> None:
    async with rig.running() as client:
        await decided(rig, "provider", "id-of-openai", ProviderAdded(provider_id="id-of-openai", spec=OPENAI))
        await decided(rig, "prices", GENAI, priced(1, FEBRUARY, 2), priced(2, FEBRUARY, None))
        broken = attempt("other/x", outcome="server_error", tokens=NO_TOKENS, cost=0)
        await rig.publish(usage_record(1, broken, attempt(tokens=MILLION, cost=None)))
        await rig.projected(client)
        assert await told(client, as_of="2026-01-01T00:00:00Z") == (None, None, 1)
        assert await told(client, as_of="genai-prices@1") == (None, "2", 0)
        assert await told(client) == (None, None, 1)
        [model, _] = (await client.post("/admin/v1/reprice", json={})).json()["models"]
        assert (model["model"], model["recorded"], model["repriced"]) == (
            "openai/gpt",
            {"cost_usd": None, "unpriced": 1},
            {"cost_usd": None, "unpriced": 1},
        )


async def test_the_operators_price_goes_by_the_name_that_was_recorded(rig: Rig) -> None:
    async with rig.running() as client:
        await decided(rig, "provider", "id-of-openai", ProviderAdded(provider_id="id-of-openai", spec=OPENAI))
        await decided(rig, "prices", GENAI, priced(1, JANUARY, 2))
        await decided(rig, "prices", OVERRIDES, priced(1, FEBRUARY, 7, source=OVERRIDES))
        await rig.publish(usage_record(1, attempt(tokens=MILLION, cost=2 * USD)))
        await rig.projected(client)
        assert await told(client) == ("2", "7", 0)
        answer = (await client.post("/admin/v1/reprice", json={"key": "editor"})).json()
        assert [source["version"] for source in answer["sources"]] == ["genai-prices@1", "overrides@1"]
        assert answer["models"][0]["repriced"]["cost_usd"] == "7"
        assert await told(client, key="nobody") == ("0", "0", 0)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"as_of": "genai-prices@9"}, 404, "price_version_not_found"),
        ({"as_of": "yesterday"}, 422, "invalid_request"),
        ({"as_of": "2026-01-01T00:00:00"}, 422, "invalid_request"),
        ({"from": "never"}, 422, "invalid_request"),
        ({"as-of": "x"}, 422, None),
    ],
)
async def test_what_makes_no_sense_is_refused(rig: Rig, body: dict[str, str], status: int, code: str | None) -> None:
    async with rig.running() as client:
        answer = await client.post("/admin/v1/reprice", json=body)
    assert answer.status_code == status
    assert code is None or answer.json()["code"] == code
