"""A rebuild beside live traffic: the same rows, the same counts, and no request in between that is lost or doubled."""

import pytest

from services.metrics.adapters.tables import TABLES
from shared.testing.usage import attempt, usage_record

REBUILD, RECENT = "/admin/v1/rebuild", "/admin/v1/recent"


def everything(rig):
    # as text, so that what a database orders in its own way is compared all the same
    return {table.name: sorted(map(repr, rig.kept.rows(f"SELECT * FROM {table.name}"))) for table in TABLES}


def counts(text):
    return [line for line in text.splitlines() if line.startswith("localrouter_") and "lag" not in line]


async def fill(rig, client, *numbers):
    for number in numbers:
        await rig.publish(usage_record(number, attempt("a/x", "cut", cost=None), attempt(f"b/{number % 3}")))
    await rig.publish_raw(b"poison", f"poison {numbers}")
    await rig.publish(usage_record(numbers[0], attempt("else/where")))
    await rig.publish(usage_record(numbers[0] + 500, time="2026-01-02T03:04:05Z"))
    await rig.projected(client)


async def rebuilt(rig, client):
    answer = await client.post(REBUILD, json={"what": "ledger"})
    assert answer.status_code == 202, answer.text

    async def over():
        return (await client.get(REBUILD)).json()["state"] != "running"

    await rig.eventually(over)
    return (await client.get(REBUILD)).json()


async def test_a_rebuilt_ledger_is_the_ledger_to_the_byte_and_no_counter_jumps(rig):
    async with rig.running() as client:
        await fill(rig, client, *range(1, 40))
        before, counted = everything(rig), counts((await client.get("/metrics")).text)
        found = await rebuilt(rig, client)
        assert (found["state"], found["records"], found["error"]) == ("done", 40, None)
        assert everything(rig) == before
        assert counts((await client.get("/metrics")).text) == counted
        await fill(rig, client, *range(40, 50))
        assert (await client.get("/admin/v1/usage")).json()["totals"]["requests"] == 51
        assert (await client.get("/readyz")).status_code == 200
    assert rig.kept.rows("SELECT count(*) FROM requests") == [(51,)]


async def test_a_damaged_ledger_is_whole_again_while_requests_come(rig):
    async with rig.running() as client:
        await fill(rig, client, *range(1, 40))
        counted = counts((await client.get("/metrics")).text)
        before = everything(rig)
        rig.kept.execute("DELETE FROM requests WHERE time_ms % 3 = 0")
        rig.kept.execute("DELETE FROM attempt_rows")
        rig.kept.execute("UPDATE rollups SET requests = requests + 1")
        answer = await client.post(REBUILD, json={})
        await rig.publish(usage_record(100, attempt("a/x", "cut"), attempt("b/1")))
        assert answer.json()["state"] == "running"
        assert (await rebuilt(rig, client))["state"] == "done"
        await rig.projected(client)
        now = everything(rig)
        assert len(now["requests"]) == 41
        assert set(before["attempt_rows"]) < set(now["attempt_rows"])
        assert [line for line in counted if "2.0" in line and "dead" in line]
        assert "localrouter_dead_letters_total 2.0" in (await client.get("/metrics")).text


async def test_a_log_that_lacks_its_beginning_rebuilds_nothing(rig):
    async with rig.running() as client:
        await fill(rig, client, 1, 2)
        before = everything(rig)
        messages = rig.log.read

        async def shortened(stream, subject="", *, after=0):
            async for message in messages(stream, subject, after=after):
                if message.sequence > 1:
                    yield message

        rig.log.read = shortened
        found = await rebuilt(rig, client)
        assert found["state"] == "failed"
        assert "lacks messages 1 to 1" in found["error"]
        assert everything(rig) == before
        assert (await client.get("/readyz")).status_code == 200


async def test_the_last_day_is_told_by_minute_from_memory_and_again_after_a_restart(rig):
    answers = []
    questions = ({}, {"key": "editor"}, {"provider": "a"}, {"key": "chat", "model": "openai/gpt"}, {"key": "x"})
    for _ in range(2):
        async with rig.running() as client:
            if not answers:
                await rig.publish(
                    *(usage_record(number, attempt("a/x", "cut"), attempt("b/y")) for number in range(30, 120, 3)),
                    usage_record(121, key_id="key-2", key_name="chat", status="failed"),
                    usage_record(122, time="2026-02-20T12:00:00Z"),
                )
                await rig.projected(client)
            answers.append([(await client.get(RECENT, params=asked)).json() for asked in questions])
    assert answers[0] == answers[1]
    everyone, editor, there, chat, nobody = answers[0]
    assert [minute["requests"] for minute in everyone["items"]] == [10, 20, 1]
    assert [minute["succeeded"] for minute in everyone["items"]] == [10, 20, 0]
    assert everyone["items"][1]["tokens"]["total"] == 20 * 30
    assert everyone["items"][0]["duration_ms"]["p50"] == pytest.approx(300, rel=0.05)
    assert [minute["attempts"] for minute in editor["items"]] == [20, 40]
    assert [(minute["requests"], minute["cost_usd"]) for minute in there["items"]] == [(10, "0.00001"), (20, "0.00002")]
    assert [minute["requests"] for minute in chat["items"]] == [1]
    assert nobody == {"interval_s": 60, "whole": True, "items": []}


async def test_a_minute_of_unknown_prices_costs_nothing_that_is_known(rig):
    async with rig.running() as client:
        await rig.publish(
            usage_record(1, attempt("a/x", cost=None)),
            usage_record(60, attempt("a/x", cost=None)),
            usage_record(61),
        )
        await rig.projected(client)
        told = [(await client.get(RECENT, params=asked)).json()["items"] for asked in ({}, {"model": "a/x"})]
    assert [[(minute["cost_usd"], minute["unpriced_requests"]) for minute in minutes] for minutes in told] == [
        [(None, 1), ("0.000001", 1)],
        [(None, 1), (None, 1)],
    ]
