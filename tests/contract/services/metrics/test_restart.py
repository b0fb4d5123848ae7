"""What a restart continues and a rebuild arrives at again: counters and the access log."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.testing.usage import NOON, attempt, usage_record


def counts(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.startswith("localrouter_") and "lag" not in line)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def fill(rig: Any, client: Any, *numbers: int) -> None:
    for number in numbers:
        await rig.publish(usage_record(number, attempt("a/x", "cut", cost=None), attempt(f"b/{number % 2}")))
    await rig.publish_raw(b"poison", f"poison {numbers}")
    await rig.projected(client)


async def metrics(client: Any) -> str:
    return counts((await client.get("/metrics")).text)


async def test_counters_go_on_after_a_restart_as_if_there_had_been_none(rig):
    async with rig.running() as client:
        await fill(rig, client, 1, 2, 3)
        before = await metrics(client)
    async with rig.running() as client:
        await rig.projected(client)
        assert await metrics(client) == before
        await fill(rig, client, 4)
        assert "localrouter_unpriced_requests_total 4.0" in await metrics(client)


async def test_a_rebuild_from_nothing_does_not_double_the_counters(rig):
    async with rig.running() as client:
        await fill(rig, client, 1, 2, 3)
        before = await metrics(client)
    rig.kept.renew()
    async with rig.running() as client:
        await rig.projected(client)
        assert await metrics(client) == before


async def test_the_access_log_has_one_line_a_request_and_says_who_what_and_how_much(rig):
    async with rig.running() as client:
        await rig.publish(usage_record(1), usage_record(2, attempt(cost=None)), usage_record(90_000))
        await rig.publish(usage_record(2, attempt(cost=None)), usage_record(1))
        await rig.projected(client)
    first, second = lines(rig.settings.logs / "access-2026-03-01.jsonl")
    assert first == {
        "time": usage_record(1).time,
        "key": "editor",
        "provider": "openai",
        "model": "openai/gpt",
        "status": "succeeded",
        "tokens": {"input": 10, "cached": 0, "cache_write": 0, "output": 5, "reasoning": 0},
        "cost_usd": "0.000001",
        "duration_ms": 300.0,
        "ttft_ms": 120.0,
        "request_id": usage_record(1).id,
        "router": "minimum-cost",
        "endpoint": "/v1/chat/completions",
        "http_status": 200,
        "error_code": None,
    }
    assert second["cost_usd"] is None
    assert [each["request_id"] for each in lines(rig.settings.logs / "access-2026-03-02.jsonl")] == [
        usage_record(90_000).id
    ]


@pytest.mark.parametrize("damage", ["cut", "deleted", "grown", "torn"])
async def test_an_access_log_that_is_not_as_it_was_left_is_made_whole(rig, damage):
    path = rig.settings.logs / "access-2026-03-01.jsonl"
    async with rig.running() as client:
        await rig.publish(usage_record(1), usage_record(2), usage_record(3))
        await rig.projected(client)
    whole = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(whole[:-10])
        case "deleted":
            path.unlink()
        case "grown":
            path.write_bytes(whole + whole)
        case _:
            path.write_bytes(whole + b'{"time":"2026-03-')
    async with rig.running():
        assert path.read_bytes() == whole


async def test_an_access_log_that_is_deleted_while_it_is_written_is_made_again(rig):
    path = rig.settings.logs / "access-2026-03-01.jsonl"
    async with rig.running() as client:
        await rig.publish(usage_record(1))
        await rig.projected(client)
        path.unlink()
        await rig.publish(usage_record(2))
        await rig.projected(client)
    assert [each["request_id"] for each in lines(path)] == [usage_record(1).id, usage_record(2).id]


async def test_a_rebuilt_ledger_writes_the_access_log_again_not_twice(rig):
    path = rig.settings.logs / "access-2026-03-01.jsonl"
    async with rig.running() as client:
        await fill(rig, client, 1, 2)
        whole = path.read_bytes()
    rig.kept.renew()
    async with rig.running() as client:
        await rig.projected(client)
    assert path.read_bytes() == whole


async def test_old_days_go_and_other_files_stay(rig):
    rig.settings.logs.mkdir()
    (rig.settings.logs / "localrouter.log").write_text("not ours")
    (rig.settings.logs / "access-2020-01-01.jsonl").write_text("{}\n")
    async with rig.running() as client:
        await rig.publish(usage_record(1))
        await rig.projected(client)
        assert [path.name for path in sorted(rig.settings.logs.iterdir())] == [
            "access-2026-03-01.jsonl",
            "localrouter.log",
        ]
        rig.clock.moment = NOON + timedelta(days=30)
        await rig.publish(usage_record(2), usage_record(86_400 * 30))
        await rig.projected(client)
    assert [path.name for path in sorted(rig.settings.logs.iterdir())] == [
        "access-2026-03-31.jsonl",
        "localrouter.log",
    ]
