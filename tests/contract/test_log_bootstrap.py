import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from services.embedded.nats_server import NatsServer
from shared.kernel.errors import LogDamaged, LogUnavailable, StartRefused
from shared.log.folds import BucketWatcher
from shared.log.nats import NatsLog
from shared.log.nats_connection import ApiError, Connection
from shared.log.port import BUCKETS, LR_CONFIG, LR_DEAD, LR_USAGE, STREAMS, Append
from shared.log.streams import bootstrap, definitions, verify
from shared.runtime.bootstrap import bootstrap_log
from shared.testing.log_contract import enabled, failure_of, subject, until
from shared.testing.nats import ThrowAwayNats, free_port, throw_away_nats


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[ThrowAwayNats, None]:
    async with throw_away_nats(tmp_path) as running:
        yield running


async def connect(server: ThrowAwayNats) -> Connection:
    connection = Connection(server.url, user=None, password=None, name="test")
    await connection.open()
    return connection


async def names(connection: Connection) -> set[str]:
    return set((await connection.api("STREAM.NAMES"))["streams"] or [])


def test_the_configuration_is_the_last_that_is_made() -> None:
    assert list(definitions())[-1] == LR_CONFIG
    assert set(definitions()) == {*STREAMS, *(f"KV_{name}" for name in BUCKETS)}


async def test_an_empty_store_is_set_up_once_by_however_many(server: ThrowAwayNats) -> None:
    connections = [await connect(server) for _ in range(4)]
    await asyncio.gather(*(bootstrap(connection) for connection in connections))
    assert await names(connections[0]) == set(definitions())
    log = NatsLog(connections[0])
    before = {stream: await log.position(stream) for stream in STREAMS}
    await bootstrap(connections[1])
    assert {stream: await log.position(stream) for stream in STREAMS} == before
    for connection in connections:
        await connection.close()


async def test_streams_of_others_on_the_server_do_not_matter(server: ThrowAwayNats) -> None:
    connection = await connect(server)
    await connection.api("STREAM.CREATE.OTHERS", {"name": "OTHERS", "subjects": ["others"]})
    await connection.request("others", b"x")
    await bootstrap(connection, wait_s=0.1)
    assert await names(connection) == {*definitions(), "OTHERS"}
    await connection.close()


async def test_what_was_configured_is_never_deleted(server: ThrowAwayNats) -> None:
    log = await server.log()
    await log.append(Append(subject("a"), [enabled(), enabled()], 0))
    for call, body in (("STREAM.MSG.DELETE", {"seq": 1}), ("STREAM.PURGE", None)):
        await failure_of(ApiError, log.connection.api(f"{call}.{LR_CONFIG}", body))
    assert (await log.position(LR_CONFIG)).sequence == 2
    await log.close()


async def test_a_stream_that_went_missing_is_damage(server: ThrowAwayNats) -> None:
    log = await server.log()
    await log.publish("lr.usage.g", b"x", message_id="1")
    for gone in (LR_DEAD, LR_CONFIG):
        await log.connection.api(f"STREAM.DELETE.{gone}")
        error = await failure_of(LogDamaged, bootstrap(log.connection, wait_s=0.1))
        assert gone in str(error)
        assert gone in str(await failure_of(LogDamaged, verify(log.connection, wait_s=0.1)))
        assert gone not in await names(log.connection)
    assert LR_CONFIG in str(await failure_of(LogDamaged, log.position(LR_CONFIG)))
    await log.close()


async def test_a_first_start_that_was_cut_short_is_finished(server: ThrowAwayNats) -> None:
    connection = await connect(server)
    for name in list(definitions())[:4]:
        await connection.api(f"STREAM.CREATE.{name}", definitions()[name])
    await bootstrap(connection, wait_s=0.1)
    assert await names(connection) == set(definitions())
    await connection.close()


async def test_another_bootstrapper_is_waited_for(server: ThrowAwayNats) -> None:
    connection = await connect(server)
    wanted = definitions()
    for name in list(wanted)[:4]:
        await connection.api(f"STREAM.CREATE.{name}", wanted[name])
    waiting = asyncio.create_task(verify(connection, wait_s=5))
    for name in list(wanted)[4:]:
        assert not waiting.done()
        await connection.api(f"STREAM.CREATE.{name}", wanted[name])
    await waiting
    await connection.close()


async def test_a_follower_notices_that_the_stream_was_made_anew(server: ThrowAwayNats) -> None:
    log = await server.log()
    await log.publish("lr.usage.g", b"x", message_id="1")
    follower = log.follow(LR_USAGE)
    assert (await anext(follower)).sequence == 1
    following = asyncio.create_task(anext(follower))
    await log.connection.api(f"STREAM.DELETE.{LR_USAGE}")
    await log.connection.api(f"STREAM.CREATE.{LR_USAGE}", definitions()[LR_USAGE])
    server.kill()
    await server.start()
    assert isinstance(await failure_of(LogDamaged, following), LogDamaged)
    await log.close()


async def test_a_follower_beyond_the_end_is_an_older_store(server: ThrowAwayNats) -> None:
    log = await server.log()
    await failure_of(LogDamaged, anext(log.follow(LR_USAGE, after=5)))
    await log.close()


async def test_a_full_usage_stream_takes_nothing_more_and_loses_nothing(server: ThrowAwayNats) -> None:
    connection = await connect(server)
    await bootstrap(connection, usage_max_bytes=10_000)
    log = NatsLog(connection)

    async def fill() -> None:
        for number in range(20):
            await log.publish("lr.usage.g", b"x" * 1_000, message_id=str(number))

    with pytest.raises(LogUnavailable, match="maximum bytes"):
        await fill()
    assert [item.sequence async for item in log.read(LR_USAGE)] == list(range(1, 10))
    await log.append(Append(subject("a"), [enabled()], 0))
    await log.close()


async def test_a_message_that_is_too_large_is_said_to_be(server: ThrowAwayNats) -> None:
    log = await server.log()
    with pytest.raises(LogUnavailable, match="one message"):
        await log.publish("lr.usage.g", b"x" * 2_000_000, message_id="1")
    assert log.connected()
    await log.close()


async def test_nobody_there_and_a_wrong_password_are_different_sentences(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match="no NATS server answers"):
        await NatsLog.connect(f"nats://127.0.0.1:{free_port()}", limit_s=0.2)
    async with NatsServer(tmp_path, bytes(32)) as server:
        with pytest.raises(StartRefused, match="refuses user gateway"):
            await NatsLog.connect(server.url, user="gateway", password="wrong")


async def test_each_user_reaches_its_own_subjects_only(tmp_path: Path) -> None:
    own = {
        "gateway": [
            "lr.config.key.1",
            "lr.config.settings.1",
            "lr.config.name.key.1",
            "lr.usage.g",
            "$KV.lr_secrets.a",
        ],
        "router": ["lr.config.router.1", "lr.config.name.router.1", "lr.facts.plan.1", "$KV.lr_plans.1"],
        "providers": [
            "lr.config.provider.1",
            "lr.config.name.provider.1",
            "lr.facts.catalog.1",
            "lr.facts.prices.1",
            "lr.health.1",
            "$KV.lr_catalog.1",
            "$KV.lr_secrets.a",
        ],
        "metrics": ["lr.dead.ledger"],
    }
    everything = {name for subjects in own.values() for name in subjects} | {
        f"$JS.API.STREAM.DELETE.{LR_CONFIG}",
        f"$JS.API.STREAM.PURGE.{LR_USAGE}",
        f"$JS.API.STREAM.UPDATE.{LR_CONFIG}",
        "$JS.API.STREAM.CREATE.MINE",
        "$SYS.REQ.SERVER.PING.VARZ",
    }
    async with NatsServer(tmp_path, bytes(32)) as server:
        await bootstrap_log(server.url, user="bootstrap", password=server.users["bootstrap"])
        for user, subjects in own.items():
            log = await NatsLog.connect(server.url, user=user, password=server.users[user])
            for name in sorted(everything):
                if name in subjects:
                    await log.publish(name, b"x", message_id=user)
                else:
                    await failure_of(LogUnavailable, log.publish(name, b"x", message_id=name))
            assert (await log.bucket("lr_leases").put("probes", user.encode())) > 0
            assert len([item async for item in log.read(LR_CONFIG)]) >= 1
            reading = log.bucket("lr_secrets").entries()
            if user in ("gateway", "providers"):
                await reading
            else:
                await failure_of(LogUnavailable, reading)
            await log.close()


async def test_it_runs_as_a_program_of_its_own(tmp_path: Path) -> None:
    async with NatsServer(tmp_path, bytes(32)) as server:
        environment = {**os.environ, "LOCALROUTER_NATS__URL": server.url}

        async def run(**more: str) -> tuple[int | None, str]:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "shared.runtime.bootstrap",
                env=environment | more,
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
            _, errors = await process.communicate()
            return process.returncode, errors.decode()

        password = tmp_path / "password"
        password.write_text(server.users["bootstrap"] + "\n")
        assert await run(LOCALROUTER_NATS__PASSWORD_FILE=str(password)) == (0, "")
        code, errors = await run(LOCALROUTER_NATS__PASSWORD="wrong")
        assert code == 1
        assert "refuses user bootstrap" in errors.splitlines()[-1]
        code, errors = await run(LOCALROUTER_NATS__PASSWORD="x", LOCALROUTER_NATS__REPLICAS="two")
        assert code == 1
        assert "1, 3 or 5" in errors
        code, errors = await run(LOCALROUTER_NATS__PASSWORD_FILE=str(tmp_path / "none"))
        assert code == 1
        assert "cannot be read" in errors
        log = await NatsLog.connect(server.url, user="gateway", password=server.users["gateway"])
        await verify(log.connection)
        await log.close()
        await until(lambda: not log.connected())


async def test_a_view_whose_bucket_is_gone_says_that_it_is_blind(server: ThrowAwayNats) -> None:
    log = await server.log()
    bucket = log.bucket("lr_plans")
    await bucket.put("a", b"1")
    watcher = BucketWatcher(bucket, lambda _: None)
    await watcher.start()
    assert watcher.problems() == []
    await log.connection.api("STREAM.DELETE.KV_lr_plans")
    await until(lambda: watcher.problems() != [])
    assert "KV_lr_plans" in watcher.problems()[0]
    await failure_of(LogDamaged, watcher.stop())
    await log.close()
