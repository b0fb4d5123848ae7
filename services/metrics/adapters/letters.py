"""The dead letters of the ledger: which of them still wait, and a further try for one of them."""

from collections.abc import Sequence
from typing import Final

from services.metrics.adapters.consumer import Consumer
from services.metrics.adapters.database import RowsRefused
from services.metrics.adapters.queries import SqlLedger
from services.metrics.adapters.writer import CONSUMER
from services.metrics.domain.letters import Letter, Replayed
from shared.log.dead_letters import DeadLetters
from shared.log.port import LR_USAGE, EventLog, Recorded

_AT_ONCE: Final = 500


class LedgerLetters:
    """Lists and replays. A letter stays in the log for ever; it waits as long as the ledger says that it lacks it."""

    def __init__(self, event_log: EventLog, *, consumer: Consumer, ledger: SqlLedger) -> None:
        self._log = event_log
        self._letters = DeadLetters(event_log)
        self._consumer = consumer
        self._ledger = ledger

    async def waiting(self, *, limit: int, after: int) -> Sequence[Letter]:
        """Return the oldest letters after ``after`` that wait. Raises LogError, ContractBroken, LedgerUnavailable."""
        found: list[Letter] = []
        seen: list[Letter] = []
        async for number, letter in self._letters.numbered(CONSUMER, after=after):
            seen.append(Letter(number, letter.reason, letter.subject, letter.sequence, letter.size, letter.raw))
            if len(seen) == _AT_ONCE:
                found += await self._lacking(seen)
                seen = []
                if len(found) >= limit:
                    break
        found += await self._lacking(seen)
        return found[:limit]

    async def replay(self, number: int) -> Replayed | None:
        """Give the ledger a message again; None: there is no such letter. One that does not wait brings nothing.

        Raises LogError, ContractBroken, LedgerUnavailable.
        """
        async for at, letter in self._letters.numbered(CONSUMER, after=number - 1):
            if at != number:
                return None
            there = Letter(at, letter.reason, letter.subject, letter.sequence, letter.size, letter.raw)
            if not await self._lacking([there]):
                return Replayed()
            try:
                return await self._consumer.take_again(await self._whole(there))
            except (RowsRefused, ValueError, TypeError, OverflowError, RecursionError) as error:
                return Replayed(reason=f"the ledger does not take it: {error}")
        return None

    async def _lacking(self, letters: Sequence[Letter]) -> list[Letter]:
        lacking = await self._ledger.buried([letter.sequence for letter in letters]) if letters else set[int]()
        return [letter for letter in letters if letter.sequence in lacking]

    async def _whole(self, letter: Letter) -> Recorded:
        # of the log, where it still is: a letter holds the beginning of a long message only
        async for recorded in self._log.read(LR_USAGE, letter.subject, after=letter.sequence - 1):
            if recorded.sequence == letter.sequence:
                return recorded
            break
        return Recorded(LR_USAGE, letter.subject, letter.sequence, letter.raw)
