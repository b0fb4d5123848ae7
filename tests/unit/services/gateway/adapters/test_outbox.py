"""What the outbox ships arrives whole, whenever the log, the gateway or both of them stop in the middle."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.gateway.adapters.journal import Journal
from services.gateway.adapters.outbox import Outbox
from shared.kernel.errors import OutcomeUnknown
from shared.log.memory import MemoryLog
from shared.log.port import LR_USAGE


class Deaf(MemoryLog):
    """A log that stores what it is sent and whose answer is lost, as often as it is told."""

    deaf = 0
    heard: Callable[[], None] = staticmethod(lambda: None)

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        stored = await super().publish(subject, payload, message_id=message_id)
        if self.deaf:
            self.deaf -= 1
            self.heard()
            raise OutcomeUnknown("no answer")
        return stored


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Deaf:
    monkeypatch.setattr("services.gateway.adapters.outbox.RETRY_S", 0.01)
    return Deaf()


def cut(_: bytes) -> bytes:
    return b'"cut short"'


def close(journal: Journal, number: int) -> None:
    request = str(uuid.UUID(int=number))
    journal.opened(request, b"{}")
    journal.closed(request, str(number).encode())


@asynccontextmanager
async def shipping(journal: Journal, log: MemoryLog) -> AsyncIterator[Outbox]:
    outbox = Outbox(journal, log, "g")
    await outbox.start()
    try:
        yield outbox
    finally:
        await outbox.stop()


async def envelopes(log: MemoryLog) -> list[list[int]]:
    return [json.loads(message.raw)["records"] async for message in log.read(LR_USAGE)]


async def until_empty(journal: Journal) -> None:
    async with asyncio.timeout(5):
        while journal.waiting_records:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_an_envelope_whose_answer_was_lost_goes_again_as_it_was_and_what_came_meanwhile_after_it(
    tmp_path: Path, log: Deaf
) -> None:
    journal = Journal(tmp_path, cut)
    close(journal, 1)
    log.deaf = 2
    log.heard = lambda: close(journal, 2 + log.deaf)
    async with shipping(journal, log):
        await until_empty(journal)
    assert await envelopes(log) == [[1], [3, 2]]


async def test_what_came_before_a_crash_and_after_an_envelope_whose_answer_was_lost_is_not_lost(
    tmp_path: Path, log: Deaf
) -> None:
    crashed = tmp_path / "crashed"
    journal = Journal(tmp_path / "g", cut)
    close(journal, 1)
    log.deaf = 1

    def crash() -> None:
        close(journal, 2)
        crashed.mkdir()
        for path in journal.folder.iterdir():
            (crashed / path.name).write_bytes(path.read_bytes())

    log.heard = crash
    async with shipping(journal, log):
        async with asyncio.timeout(5):
            while not crashed.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    restarted = Journal(crashed, cut)
    async with shipping(restarted, log):
        await until_empty(restarted)
    assert {record for records in await envelopes(log) for record in records} == {1, 2}


async def test_a_journal_that_begins_anew_at_the_same_positions_is_no_repeat(tmp_path: Path, log: Deaf) -> None:
    for number in (1, 2):
        journal = Journal(tmp_path / str(number), cut)
        close(journal, number)
        async with shipping(journal, log):
            await until_empty(journal)
    assert await envelopes(log) == [[1], [2]]
