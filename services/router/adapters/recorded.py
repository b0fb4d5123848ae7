"""Reads recorded traffic off the usage log, from a moment on."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Final

import msgspec

from shared.contracts.usage import UsageRecord, decode_usage_envelope
from shared.kernel.clock import parse_rfc3339
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_USAGE, EventLog, Recorded

_LONGEST: Final = timedelta(hours=1)
"""A record is written when its request ends, so one of before may stand this long after."""


class RecordedTraffic:
    """``LR_USAGE`` as records, read when a question is asked."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def since(self, start: datetime, end: datetime) -> AsyncGenerator[list[UsageRecord], None]:
        """Yield the records of requests that came in [start, end), a message's at a time."""
        after = await self._before(start)
        async for message in self._log.read(LR_USAGE, after=after):
            records = await asyncio.to_thread(_records, message)
            found = [record for record in records if start <= _moment(record) < end]
            if found:
                yield found
            elif records and _moment(records[0]) > end + _LONGEST:
                return

    async def _before(self, start: datetime) -> int:
        """Return a sequence before which nothing of ``start`` stands, found by halving: messages stand by time."""
        low, high = 0, (await self._log.position(LR_USAGE)).sequence
        while low < high:
            middle = (low + high) // 2
            message = await self._first_after(middle)
            moments = [_moment(record) for record in _records(message)] if message else []
            if message is not None and moments and max(moments) < start:
                low = max(message.sequence, middle + 1)
            else:
                high = middle
        return low

    async def _first_after(self, sequence: int) -> Recorded | None:
        messages = self._log.read(LR_USAGE, after=sequence)
        try:
            return await anext(messages, None)
        finally:
            await messages.aclose()


def _records(message: Recorded) -> tuple[UsageRecord, ...]:
    """Return a message's records; one that does not read is set aside elsewhere, and says nothing here."""
    try:
        return decode_usage_envelope(message.raw).records
    except (ContractBroken, msgspec.DecodeError):
        return ()


def _moment(record: UsageRecord) -> datetime:
    return parse_rfc3339(record.time)
