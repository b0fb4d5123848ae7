"""The ledger follows the log: exactly once, past the poison, and never past a log that is not its own."""

from typing import Any

import msgspec

from shared.kernel.errors import LogUnavailable
from shared.log.memory import MemoryLog
from shared.log.port import LR_USAGE, Position
from shared.testing.usage import usage_record


def checkpoint(rig: Any) -> tuple[str, int]:
    return rig.kept.rows("SELECT identity, sequence FROM checkpoints")[0]


async def test_every_record_is_in_the_ledger_once_however_often_it_was_published(rig):
    async with rig.running() as client:
        await rig.publish(usage_record(1), usage_record(2), message_id="a")
        await rig.publish(usage_record(1), usage_record(2), message_id="a")
        await rig.publish(usage_record(2), usage_record(1), message_id="outside the window")
        await rig.publish(usage_record(3), message_id="b")
        await rig.projected(client)
    assert [row[0] for row in rig.kept.rows("SELECT id FROM requests ORDER BY id")] == [
        usage_record(n).id for n in (1, 2, 3)
    ]
    position = await rig.log.position(LR_USAGE)
    assert checkpoint(rig) == (position.identity, position.sequence)
    assert await rig.buried() == []


async def test_a_restart_goes_on_where_it_stopped(rig):
    async with rig.running() as client:
        await rig.publish(usage_record(1))
        await rig.projected(client)
    await rig.publish(usage_record(2))
    async with rig.running() as client:
        await rig.projected(client)
        assert (await client.get("/readyz")).status_code == 200
    assert rig.kept.rows("SELECT count(*) FROM requests") == [(2,)]
    assert rig.kept.rows("SELECT count(*) FROM attempts") == [(2,)]


async def test_poison_is_set_aside_once_and_the_projection_goes_on(rig):
    async with rig.running() as client:
        await rig.publish(usage_record(1))
        await rig.publish_raw(b"not json at all", "poison")
        await rig.publish(usage_record(2), msgspec.structs.replace(usage_record(3), cost=-5), usage_record(4))
        await rig.projected(client)
        text = (await client.get("/metrics")).text
    assert [sequence for sequence, _ in await rig.buried()] == [2, 3]
    assert "record 1" in (await rig.buried())[1][1]
    assert "localrouter_dead_letters_total 2.0" in text
    assert rig.kept.rows("SELECT count(*) FROM requests") == [(3,)]
    assert [row[0] for row in rig.kept.rows("SELECT sequence FROM buried ORDER BY 1")] == [2, 3]
    assert checkpoint(rig)[1] == 3


async def test_a_second_record_of_a_request_that_says_something_else_is_set_aside(rig):
    async with rig.running() as client:
        await rig.publish(usage_record(1))
        await rig.projected(client)
        await rig.publish(msgspec.structs.replace(usage_record(1), status="failed"))
        await rig.projected(client)
    assert [sequence for sequence, _ in await rig.buried()] == [2]
    assert rig.kept.rows("SELECT status FROM requests") == [("succeeded",)]


async def test_rows_that_the_database_refuses_are_tried_again_and_set_aside_alone(rig):
    take_again = rig.refuse_odd_keys()
    await rig.publish(usage_record(1))
    await rig.publish(usage_record(2, key_name="odd"))
    await rig.publish(usage_record(3))
    async with rig.running() as client:
        await rig.projected(client)
    rig.kept.execute(take_again)
    assert [(sequence, "odd" in reason) for sequence, reason in await rig.buried()] == [(2, True)]
    assert rig.kept.rows("SELECT id FROM requests ORDER BY 1") == [(usage_record(1).id,), (usage_record(3).id,)]
    assert checkpoint(rig)[1] == 3


async def test_a_log_that_was_made_anew_is_refused_with_a_sentence(rig):
    async with rig.running() as client:
        await rig.publish(usage_record(1))
        await rig.projected(client)
    rig.log = MemoryLog()
    await rig.publish(usage_record(2))
    async with rig.running() as client:
        await until_refused(rig.eventually, client, "made anew")
    assert rig.kept.rows("SELECT count(*) FROM requests") == [(1,)]


async def test_a_log_that_went_backwards_is_refused_with_a_sentence(rig):
    async with rig.running() as client:
        await rig.publish(usage_record(1))
        await rig.publish(usage_record(2))
        await rig.projected(client)
    older = OlderLog(rig.log, sequence=1)
    rig.log = older
    async with rig.running() as client:
        await until_refused(rig.eventually, client, "an older log was restored")
    assert checkpoint(rig)[1] == 2


async def test_a_log_that_lacks_messages_is_refused_with_a_sentence(rig):
    async with rig.running() as client:
        await rig.publish(usage_record(1))
        await rig.projected(client)
    await rig.publish(usage_record(2))
    await rig.publish(usage_record(3))
    rig.log = TrimmedLog(rig.log, below=3)
    async with rig.running() as client:
        await until_refused(rig.eventually, client, "lacks messages 2 to 2")
    assert checkpoint(rig)[1] == 1


async def test_a_ledger_that_cannot_be_written_says_so_and_goes_on_by_itself(rig):
    async with rig.running() as client:
        rig.settings.logs.write_text("a file where the folder should be")
        await rig.publish(usage_record(1))

        async def waiting() -> bool:
            answer = await client.get("/readyz")
            return answer.status_code == 503 and "does not take writes" in answer.text

        await rig.eventually(waiting)
        assert rig.kept.rows("SELECT count(*) FROM requests") == [(0,)]
        rig.settings.logs.unlink()
        await rig.projected(client)
        assert (await client.get("/readyz")).status_code == 200
    assert rig.kept.rows("SELECT count(*) FROM requests") == [(1,)]


async def test_a_log_that_does_not_answer_is_waited_for(rig):
    rig.log = AwayLog(rig.log)
    async with rig.running() as client:

        async def waiting() -> bool:
            return "does not answer" in (await client.get("/readyz")).text

        await rig.eventually(waiting)
        rig.log.away = False
        await rig.publish(usage_record(1))
        await rig.projected(client)
        assert (await client.get("/readyz")).status_code == 200


async def test_a_mistake_of_our_own_is_named_by_readiness_and_the_service_still_stops(rig):
    rig.log = MistakenLog(rig.log)
    async with rig.running() as client:
        await until_refused(rig.eventually, client, "the ledger stopped: RuntimeError('a mistake')")


async def until_refused(eventually: Any, client: Any, words: str) -> None:
    async def refused() -> bool:
        answer = await client.get("/readyz")
        return answer.status_code == 503 and words in answer.text

    await eventually(refused)


class OlderLog:
    def __init__(self, log: MemoryLog, sequence: int) -> None:
        self._log = log
        self._sequence = sequence

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def position(self, stream: str) -> Position:
        return Position((await self._log.position(stream)).identity, self._sequence)


class TrimmedLog:
    def __init__(self, log: MemoryLog, below: int) -> None:
        self._log = log
        self._below = below

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def follow(self, stream: str, subject: str = "", *, after: int = 0) -> Any:
        async for recorded in self._log.follow(stream, subject, after=after):
            if recorded.sequence >= self._below:
                yield recorded


class AwayLog:
    away = True

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def connected(self) -> bool:
        return not self.away

    async def position(self, stream: str) -> Position:
        if self.away:
            raise LogUnavailable("nobody listens")
        return await self._log.position(stream)


class MistakenLog:
    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def position(self, stream: str) -> Position:
        if stream != LR_USAGE:
            return await self._log.position(stream)
        raise RuntimeError("a mistake")
