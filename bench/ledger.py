"""How quick the ledger is: a million records from a real log into each database, questions, a rebuild.

``python -m bench.ledger --records 1000000`` prints one table. Records come from a real nats-server, in envelopes as the
gateway sends them; the service runs in this process, so CPU per record is its own and that of the log's client.
"""

import argparse
import asyncio
import random
import resource
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

import httpx

from services.metrics.adapters.schema import migrate
from services.metrics.app import build
from services.metrics.settings import MetricsSettings, Postgres
from shared.contracts.usage import Attempt, Tokens, UsageRecord
from shared.kernel.clock import rfc3339
from shared.kernel.ids import uuid7
from shared.log.nats import NatsLog
from shared.log.port import LR_USAGE
from shared.runtime.process import settle_memory
from shared.runtime.service import Service
from shared.testing.nats import throw_away_nats
from shared.testing.postgres import PASSWORD, throw_away_postgres
from shared.testing.usage import usage_payload

_ENVELOPE: Final = 256
_DAY_S: Final = 86_400
_LOOK_S: Final = 0.3
"""Each look has the service write all that it tells Prometheus, which otherwise asks every 15 seconds."""
_KEYS, _MODELS, _ROUTERS = 50, 8, 4


def records(count: int, day: datetime) -> Iterator[UsageRecord]:
    """Yield ``count`` requests of one day, in order, of several keys and models; some fell back, some failed."""
    chance = random.Random(1)
    return (_record(number, day + timedelta(seconds=number * _DAY_S / count), chance) for number in range(count))


def _record(number: int, moment: datetime, chance: random.Random) -> UsageRecord:
    key, answered = chance.randrange(_KEYS), chance.randrange(_MODELS)
    tries = [answered] if chance.random() < 0.9 else [(answered + 1) % _MODELS, answered]
    failed = chance.random() < 0.02
    attempts = tuple(
        Attempt(
            id=uuid7(int(moment.timestamp() * 1000), (number * 4 + place).to_bytes(10, "big")),
            provider_id=f"provider-{model % 3}",
            provider=f"vendor-{model % 3}",
            model=f"vendor-{model % 3}/model-{model}",
            outcome="succeeded" if model == answered and not failed else "server_error",
            started_at=rfc3339(moment),
            duration_ms=200 + 1000 * chance.random(),
            http_status=200,
            tokens=Tokens(input=chance.randrange(2000), output=chance.randrange(500), source="provider"),
            cost=chance.randrange(10**10),
            price_version="2026-03",
        )
        for place, model in enumerate(tries)
    )
    last, overhead_ms = attempts[-1], chance.random()
    return UsageRecord(
        id=uuid7(int(moment.timestamp() * 1000), number.to_bytes(10, "big")),
        time=rfc3339(moment),
        status="failed" if failed else "succeeded",
        endpoint="/v1/chat/completions",
        dialect="openai_chat",
        stream=number % 2 == 0,
        http_status=200,
        key_id=f"key-{key}",
        key_name=f"application {key}",
        router=f"router-{key % _ROUTERS}",
        provider=last.provider,
        model=last.model,
        requested_model="auto",
        tokens=Tokens(
            input=sum(each.tokens.input for each in attempts),
            output=sum(each.tokens.output for each in attempts),
            source="provider",
        ),
        cost=sum(each.cost or 0 for each in attempts),
        ttft_ms=50 + 300 * chance.random(),
        duration_ms=sum(each.duration_ms for each in attempts) + overhead_ms,
        overhead_ms=overhead_ms,
        attempts=attempts,
    )


async def fill(log: NatsLog, count: int, day: datetime) -> None:
    """Publish ``count`` records."""
    made = records(count, day)
    for start in range(0, count, _ENVELOPE):
        payload = usage_payload(list(islice(made, _ENVELOPE)), position=f"0:{start}")
        await log.publish("lr.usage.gateway-1", payload, message_id=f"0:{start}")


@asynccontextmanager
async def running(settings: MetricsSettings, log: NatsLog) -> AsyncGenerator[tuple[Service, httpx.AsyncClient], None]:
    """Give the service, started, and a client of its own."""
    service = build(settings, log=log)
    settle_memory()
    await service.start()
    client = httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://metrics", timeout=600)
    try:
        yield service, client
    finally:
        await client.aclose()
        await service.stop()


async def project(client: httpx.AsyncClient, log: NatsLog) -> tuple[float, float]:
    """Wait until the ledger is at the end of the log; return seconds and seconds of CPU of this process."""
    began, cpu = time.perf_counter(), time.process_time()
    assert (await log.position(LR_USAGE)).sequence
    while "\nlocalrouter_projection_lag_events 0.0" not in (await client.get("/metrics")).text:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)  # the service tells nobody that it arrived
    return time.perf_counter() - began, time.process_time() - cpu


async def timed(ask: Callable[[], Any], rounds: int = 5) -> tuple[float, Any]:
    """Return the least of several times in milliseconds, and the last answer."""
    best, answer = float("inf"), None
    for _ in range(rounds):
        began = time.perf_counter()
        answer = await ask()
        best = min(best, (time.perf_counter() - began) * 1000)
    return best, answer


async def measure(name: str, place: Path | Postgres, folder: Path, log: NatsLog, count: int, day: datetime) -> None:
    """Measure one database and print its figures."""
    await migrate(place)
    async with running(MetricsSettings(database=place, logs=folder / name), log) as (_, client):
        wall, cpu = await project(client, log)
        line("projected, records/s", name, f"{count / wall:,.0f}")
        line("CPU of the service, µs a record", name, f"{cpu / count * 1e6:.1f}")
        for label, question in {
            "a day by key, ms": {"from": day.date().isoformat(), "to": day.date().isoformat(), "group_by": "key"},
            "a day by model and hour, ms": {"from": day.date().isoformat(), "group_by": "model", "interval": "hour"},
            "all by key, ms": {"group_by": "key"},
        }.items():
            took, answer = await timed(lambda question=question: client.get("/admin/v1/usage", params=question))
            assert answer.status_code == 200, answer.text
            assert answer.json()["totals"]["requests"] == count, answer.json()["totals"]
            line(label, name, f"{took:.1f}")
        for label, asked in {"recent, all, ms": {}, "recent, one key, ms": {"key": "key-1"}}.items():
            took, answer = await timed(lambda asked=asked: client.get("/admin/v1/recent", params=asked), 20)
            line(label, name, f"{took:.2f}")
        await rebuild(name, client, count)


async def rebuild(name: str, client: httpx.AsyncClient, count: int) -> None:
    """Rebuild the ledger and see that it says the same."""
    before = (await client.get("/admin/v1/usage", params={"group_by": "key"})).json()
    counted = (await client.get("/metrics")).text
    await client.post("/admin/v1/rebuild", json={})
    while (found := (await client.get("/admin/v1/rebuild")).json())["state"] == "running":  # noqa: ASYNC110
        await asyncio.sleep(0.2)  # as a person would look
    assert found["state"] == "done", found
    assert found["records"] == count, found
    assert (await client.get("/admin/v1/usage", params={"group_by": "key"})).json() == before
    assert (await client.get("/metrics")).text == counted
    line("rebuild, s", name, f"{found['took_s']:.1f}")


def line(what: str, where: str, value: str) -> None:
    """Print one figure."""
    print(f"{what:<40} {where:<10} {value:>14}", flush=True)


async def main(arguments: argparse.Namespace) -> None:
    """Measure the databases that were asked for."""
    count, day = arguments.records, datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day -= timedelta(days=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with throw_away_nats(folder) as server:
            log = await server.log()
            began = time.perf_counter()
            await fill(log, count, day)
            line("records in the log", "", f"{count:,}")
            line("to put them there, s", "", f"{time.perf_counter() - began:.1f}")
            postgres = throw_away_postgres(careless=False) if "postgres" in arguments.databases else nullcontext()
            with postgres as database:
                for kind in arguments.databases:
                    place = folder / "ledger.db"
                    if database is not None and kind == "postgres":
                        place = Postgres(database.create("ledger"), PASSWORD)
                    await measure(kind, place, folder, log, count, day)
            await log.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line("most memory of this process, MB", "", f"{peak:.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    asyncio.run(main(parser.parse_args()))
