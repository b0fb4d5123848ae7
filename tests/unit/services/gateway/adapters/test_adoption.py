"""A journal that nobody has any more is shipped by a gateway that is still there, once, under its own name."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.gateway.adapters.adoption import Adoption
from services.gateway.adapters.journal import Journal
from shared.log.memory import MemoryLog
from shared.log.port import LR_USAGE

A, B = (str(uuid.UUID(int=number)) for number in (1, 2))


def cut(opened: bytes) -> bytes:
    return b'{"cut":true}' if opened else b"{}"


def left_behind(folder: Path) -> None:
    """What a gateway leaves that is killed: one request answered, one cut short."""
    journal = Journal(folder, cut)
    journal.opened(A, b"a")
    journal.opened(B, b"b")
    journal.closed(B, b'{"cut":false}')
    journal.close()


async def shipped(log: MemoryLog) -> list[tuple[str, list[Any]]]:
    """Return what the log holds: by whom, and the records."""
    messages = [message async for message in log.read(LR_USAGE)]
    return [(message.subject, json.loads(message.raw)["records"]) for message in messages]


@asynccontextmanager
async def looking(root: Path, log: MemoryLog) -> AsyncIterator[None]:
    adoption = Adoption(root / "gateway-1", log, cut, interval_s=0.02)
    await adoption.start()
    try:
        yield
    finally:
        await adoption.stop()


async def until_shipped(log: MemoryLog) -> None:
    async with asyncio.timeout(5):
        while not await shipped(log):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_a_gateway_left_is_shipped_and_what_was_cut_short_is_interrupted(tmp_path: Path) -> None:
    left_behind(tmp_path / "gateway-2")
    log = MemoryLog()
    async with looking(tmp_path, log):
        await until_shipped(log)
    assert await shipped(log) == [("lr.usage.gateway-2", [{"cut": False}, {"cut": True}])]


async def test_it_is_not_shipped_a_second_time_and_its_folder_does_not_grow(tmp_path: Path) -> None:
    left_behind(tmp_path / "gateway-2")
    log = MemoryLog()
    for _ in range(3):
        async with looking(tmp_path, log):
            await until_shipped(log)
            await asyncio.sleep(0.1)
    assert len(await shipped(log)) == 1
    assert len(list((tmp_path / "gateway-2").glob("*.journal"))) <= 2


async def test_the_journal_of_a_gateway_that_lives_is_left_alone(tmp_path: Path) -> None:
    left_behind(tmp_path / "gateway-2")
    living = Journal(tmp_path / "gateway-2", cut)
    log = MemoryLog()
    async with looking(tmp_path, log):
        await asyncio.sleep(0.1)
        assert await shipped(log) == []
        living.close()
        await until_shipped(log)
