"""What must hold of the ledger on a real nats-server, in both databases: repeats, poison, a log that is not the one it
was, a lost consumer, a rebuild beside traffic."""

import asyncio
import shutil
import time

import pytest

from services.metrics.adapters.tables import TABLES
from shared.log.dead_letters import DeadLetters
from shared.log.port import LR_USAGE
from shared.log.streams import bootstrap
from shared.testing.nats import throw_away_nats
from shared.testing.usage import attempt, usage_payload, usage_record

LETTERS, REBUILD = "/admin/v1/dead-letters", "/admin/v1/rebuild"


@pytest.fixture
async def server(tmp_path):
    folder = tmp_path / "nats"
    folder.mkdir()
    async with throw_away_nats(folder) as found:
        yield found


@pytest.fixture
async def on_nats(rig, server):
    """The rig on the real log."""
    rig.log = await server.log()
    yield rig
    await rig.log.close()


def counts(text):
    return [line for line in text.splitlines() if line.startswith("localrouter_") and "lag" not in line]


async def refused(rig, client, words):
    async def told():
        answer = await client.get("/readyz")
        return answer.status_code == 503 and words in answer.text

    await rig.eventually(told)


async def stream_length(rig):
    return (await rig.log.position(LR_USAGE)).sequence


async def test_what_is_published_three_times_inside_and_outside_the_window_counts_once(on_nats):
    rig = on_nats
    api = rig.log.connection.api
    config = (await api(f"STREAM.INFO.{LR_USAGE}"))["config"]
    await api(f"STREAM.UPDATE.{LR_USAGE}", config | {"duplicate_window": 100_000_000})
    async with rig.running() as client:
        for _ in range(3):
            await rig.publish(usage_record(1), message_id="the same")
        assert await stream_length(rig) == 1
        for _ in range(2):
            stored, began = await stream_length(rig), time.monotonic()
            while await stream_length(rig) == stored:
                assert time.monotonic() - began < 10, "the window did not close"
                await asyncio.sleep(0.05)
                await rig.publish(usage_record(1), message_id="the same")
        assert await stream_length(rig) == 3
        await rig.projected(client)
        assert (await client.get("/admin/v1/usage")).json()["totals"]["requests"] == 1
        assert 'status="succeeded"} 1.0' in (await client.get("/metrics")).text
    assert rig.kept.rows("SELECT count(*) FROM requests") == [(1,)]
    assert rig.kept.rows("SELECT count(*) FROM attempts") == [(1,)]
    assert await rig.buried() == []


async def test_poison_of_every_kind_is_kept_with_its_bytes_told_by_a_metric_and_replayed_by_request(on_nats):
    rig = on_nats
    poison = [
        b"not json \xff",
        b'{"type": "weather.reported", "version": 1, "data": {}}',
        usage_payload([usage_record(1)]).replace(b'"version":1', b'"version":2'),
        b"[" * 700_000,
    ]
    async with rig.running() as client:
        for number, raw in enumerate(poison):
            await rig.publish_raw(raw, f"poison {number}")
        await rig.publish(usage_record(2))
        await rig.projected(client)
        assert "localrouter_dead_letters_total 4.0" in (await client.get("/metrics")).text
        letters = [letter async for letter in DeadLetters(rig.log).list("ledger")]
        assert [letter.raw for letter in letters] == [raw[: 512 * 1024] for raw in poison]
        assert [letter.size for letter in letters] == [len(raw) for raw in poison]
        assert all(letter.reason for letter in letters)
        shown = (await client.get(LETTERS)).json()["items"]
        assert [letter["sequence"] for letter in shown] == [1, 2, 3, 4]
        for letter in shown:
            assert (await client.post(f"{LETTERS}/{letter['id']}/replay")).status_code == 409
        take_again = rig.refuse_odd_keys()
        await rig.publish(usage_record(3, key_name="odd"))
        await rig.publish(usage_record(4))
        await rig.projected(client)
        rig.kept.execute(take_again)
        odd = (await client.get(LETTERS)).json()["items"][-1]
        assert (await client.post(f"{LETTERS}/{odd['id']}/replay")).json() == {"id": odd["id"], "records": 1}
        assert (await client.get(LETTERS)).json()["items"] == shown
    assert rig.kept.rows("SELECT count(*) FROM requests") == [(3,)]


async def test_an_older_store_put_back_is_refused_with_a_reason_and_loses_nothing(on_nats, server):
    rig = on_nats
    store, copy = server.folder / "store", server.folder / "copy"
    await rig.publish(usage_record(1))
    server.kill()
    shutil.copytree(store, copy)
    await server.start()
    await rig.eventually(rig.log.connected)
    async with rig.running() as client:
        await rig.publish(usage_record(2))
        await rig.publish(usage_record(3))
        await rig.projected(client)
        server.kill()
        shutil.rmtree(store)
        shutil.copytree(copy, store)
        await server.start()
        await refused(rig, client, "an older")
    async with rig.running() as client:
        await refused(rig, client, "LR_USAGE ends at 1, but the ledger holds it up to 3: an older log was restored")
    assert rig.kept.rows("SELECT count(*) FROM requests") == [(3,)]


async def test_a_stream_that_was_made_anew_is_refused_with_a_reason_and_loses_nothing(on_nats):
    rig = on_nats
    async with rig.running() as client:
        await rig.publish(usage_record(1))
        await rig.projected(client)
        api = rig.log.connection.api
        config = (await api(f"STREAM.INFO.{LR_USAGE}"))["config"]
        await api(f"STREAM.DELETE.{LR_USAGE}")
        await api(f"STREAM.CREATE.{LR_USAGE}", config)
        await rig.publish(usage_record(2), message_id="into the new one")
        await refused(rig, client, "made anew")
    assert rig.kept.rows("SELECT count(*) FROM requests") == [(1,)]
    assert rig.kept.rows("SELECT sequence FROM checkpoints") == [(1,)]
    await bootstrap(rig.log.connection)


async def test_a_lost_consumer_is_made_again_from_the_checkpoint(on_nats):
    rig = on_nats
    api = rig.log.connection.api
    async with rig.running() as client:
        await rig.publish(usage_record(1))
        await rig.projected(client)
        names = (await api(f"CONSUMER.NAMES.{LR_USAGE}"))["consumers"]
        assert names
        for name in names:
            await api(f"CONSUMER.DELETE.{LR_USAGE}.{name}")
        await rig.publish(usage_record(2))
        await rig.projected(client)
        assert (await client.get("/readyz")).status_code == 200
    assert rig.kept.rows("SELECT count(*) FROM requests") == [(2,)]


async def test_a_rebuild_beside_traffic_is_the_ledger_to_the_byte_and_no_count_jumps(on_nats):
    rig = on_nats
    stop = asyncio.Event()

    async def traffic(number):
        while not stop.is_set():
            number += 3
            records = [usage_record(number + n, attempt("a/x", "cut"), attempt("b/y")) for n in range(3)]
            await rig.publish(*records)
            await asyncio.sleep(0.01)

    async with rig.running() as client:
        for number in range(0, 1500, 30):
            await rig.publish(*(usage_record(number + n) for n in range(30)))
        await rig.publish_raw(b"poison", "poison")
        await rig.projected(client)
        rig.kept.execute("DELETE FROM requests WHERE time_ms % 7 = 0")
        publishing = asyncio.create_task(traffic(2000))
        try:
            assert (await client.post(REBUILD, json={})).json()["state"] == "running"
            seen = counted(await client.get("/metrics"))
            while (found := (await client.get(REBUILD)).json())["state"] == "running":
                now = counted(await client.get("/metrics"))
                assert now >= seen, "a count went backwards"
                seen = now
                await asyncio.sleep(0.02)
            assert (found["state"], found["error"]) == ("done", None)
        finally:
            stop.set()
            await publishing
        await rig.projected(client)
        live, text = everything(rig), counts((await client.get("/metrics")).text)
        total = len(live["requests"])
        assert counted(await client.get("/metrics")) == total
    # a ledger made from nothing of the same log, without traffic, is the same to the byte
    rig.kept.renew()
    async with rig.running() as client:
        await rig.projected(client)
        assert counts((await client.get("/metrics")).text) == text
    assert everything(rig) == live


def everything(rig):
    return {table.name: sorted(map(repr, rig.kept.rows(f"SELECT * FROM {table.name}"))) for table in TABLES}


def counted(answer):
    lines = answer.text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("localrouter_requests_total{"))
