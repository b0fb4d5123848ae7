"""What a subscription's answers would cost at API prices, beside the nothing that they cost."""

import itertools

from shared.testing.usage import attempt, usage_record
from tests.support.metrics import give_attempts_rows

DOLLAR = 10**12
COLUMNS = {
    "requests": ("shadow_cost",),
    "attempts": ("shadow_cost",),
    "rollups": ("shadow_cost_usd", "shadow_cost_pico", "tried_shadow_cost_usd", "tried_shadow_cost_pico"),
}


async def fill(rig, client):
    """Two answers of a plan, one of them of a model whose API price is unknown, one bought, one that fell back."""
    await rig.publish(
        usage_record(1, attempt("plan/m", cost=0, shadow_cost=2 * DOLLAR + 1)),
        usage_record(2, attempt("plan/new", cost=0)),
        usage_record(3, attempt("api/m", cost=DOLLAR)),
        usage_record(4, attempt("plan/m", "cut", cost=0, shadow_cost=DOLLAR), attempt("api/m", cost=DOLLAR)),
    )
    await rig.projected(client)


async def usage(client, **query):
    answer = (await client.get("/admin/v1/usage", params=query)).json()
    found = [(item.get("provider"), item["cost_usd"], item["shadow_cost_usd"]) for item in answer["items"]]
    return found, answer["totals"]["shadow_cost_usd"]


async def everything(client):
    # to the minute it is answered from rollups, to the second from the rows
    spans = ({}, {"from": "2026-03-01T12:00:01Z"})
    return [
        await usage(client, **span, **asked)
        for span, asked in itertools.product(spans, ({}, {"group_by": "provider"}, {"model": "plan/m"}))
    ]


EVERYTHING = [
    ([(None, "2", "3.000000000001")], "3.000000000001"),
    ([("api", "2", "0"), ("plan", "0", "3.000000000001")], "3.000000000001"),
    ([(None, "0", "3.000000000001")], "3.000000000001"),
] * 2


async def test_it_is_summed_apart_from_what_is_paid(rig):
    async with rig.running() as client:
        await fill(rig, client)
        assert await everything(client) == EVERYTHING


async def test_each_request_and_attempt_says_it_and_unknown_is_null(rig):
    async with rig.running() as client:
        await fill(rig, client)
        items = (await client.get("/admin/v1/requests")).json()["items"]
    assert [(item["cost_usd"], item["shadow_cost_usd"]) for item in reversed(items)] == [
        ("0", "2.000000000001"),
        ("0", None),
        ("1", None),
        ("1", "1"),
    ]
    assert [each["shadow_cost_usd"] for each in items[0]["attempts"]] == ["1", None]


async def test_an_older_ledger_is_brought_to_it_from_its_records(rig):
    async with rig.running() as client:
        await fill(rig, client)
    give_attempts_rows(rig.kept)
    for table, columns in COLUMNS.items():
        for column in columns:
            rig.kept.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    rig.kept.execute("UPDATE alembic_version SET version_num = '0002'")
    async with rig.running() as client:
        await rig.projected(client)
        assert await everything(client) == EVERYTHING
        await rig.publish(usage_record(5, attempt("plan/m", cost=0, shadow_cost=DOLLAR)))
        await rig.projected(client)
        assert (await usage(client))[1] == "4.000000000001"
