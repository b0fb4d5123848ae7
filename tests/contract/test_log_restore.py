"""A restore into the log of a NATS server that runs by itself: whole, or nobody uses it."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest

from shared.kernel.errors import LogDamaged, LogUnavailable, StartRefused
from shared.log.backup import Backup, restoring, write_backup
from shared.log.nats import NatsLog
from shared.log.port import LR_CONFIG, LR_USAGE
from shared.log.streams import bootstrap, verify
from shared.testing.nats import ThrowAwayNats, throw_away_nats

MASTER = b"m" * 32


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncGenerator[ThrowAwayNats, None]:
    (tmp_path / "empty").mkdir()
    async with throw_away_nats(tmp_path / "empty") as server:
        yield server


@pytest.fixture
async def backup(tmp_path: Path) -> AsyncGenerator[IO[bytes], None]:
    (tmp_path / "first").mkdir()
    async with throw_away_nats(tmp_path / "first") as server:
        log = await server.log()
        for number in range(3):
            await log.publish("lr.usage.gateway-1", b"usage", message_id=str(number))
        file = await write_backup(log.connection, tmp_path, master=MASTER, now=datetime.now(UTC))
        await log.close()
    with file:
        yield file


async def connected(server: ThrowAwayNats) -> NatsLog:
    return await NatsLog.connect(server.url, name="test")


async def restore_up_to(cut: str, log: NatsLog, empty: ThrowAwayNats, backup: IO[bytes]) -> None:
    """Restore, and break off."""
    async with restoring(log.connection, empty.url):
        if cut != "nothing":
            await Backup(backup, "backup").restore(log.connection)
        if cut == "all but LR_CONFIG":
            await log.connection.api(f"STREAM.DELETE.{LR_CONFIG}")
        raise LogUnavailable("cut")


async def test_a_log_that_is_not_empty_is_left_alone(empty: ThrowAwayNats) -> None:
    log = await empty.log()
    sequence = await log.publish("lr.usage.gateway-1", b"usage", message_id="1")
    with pytest.raises(StartRefused, match=r"not empty, there is KV_lr_catalog.*LR_USAGE"):
        async with restoring(log.connection, empty.url):
            raise AssertionError("it must not come to this")
    assert (await log.position(LR_USAGE)).sequence == sequence
    await verify(log.connection, wait_s=0)
    await log.close()


@pytest.mark.parametrize("cut", ["nothing", "all but LR_CONFIG", "everything"])
async def test_a_restore_that_was_cut_short_lets_nobody_start_and_can_be_run_again(
    empty: ThrowAwayNats, backup: IO[bytes], cut: str
) -> None:
    log = await connected(empty)
    with pytest.raises(LogUnavailable, match="cut"):
        await restore_up_to(cut, log, empty, backup)
    for start in (bootstrap, verify):
        with pytest.raises(LogDamaged, match="restore of it was cut short"):
            await start(log.connection, wait_s=0)
    backup.seek(0)
    async with restoring(log.connection, empty.url):
        await Backup(backup, "backup").restore(log.connection)
    await bootstrap(log.connection, wait_s=0)
    await verify(log.connection, wait_s=0)
    assert [message.raw async for message in log.read(LR_USAGE)] == [b"usage"] * 3
    await log.close()


async def test_what_the_log_took_shortly_before_the_backup_is_known_afterwards(
    empty: ThrowAwayNats, backup: IO[bytes]
) -> None:
    """So a gateway's new journal must not name its first envelope as the old one did."""
    log = await connected(empty)
    async with restoring(log.connection, empty.url):
        await Backup(backup, "backup").restore(log.connection)
    await log.close()
    empty.kill()
    await empty.start()
    log = await connected(empty)
    again = await log.publish("lr.usage.gateway-1", b"usage", message_id="1")
    other = await log.publish("lr.usage.gateway-1", b"usage", message_id="other life: 1")
    assert (again, other) == (2, 4)
    await log.close()
