"""Prices the ledger's requests again, as of a version of the price book or a time."""

from datetime import datetime
from typing import Final

from services.metrics.domain.questions import Filter, Ledger
from services.metrics.domain.repricing import BookAt, Repricing
from shared.log.port import LR_CONFIG, EventLog

_SUBJECTS: Final = ("lr.config.provider.>", "lr.config.prices.>")
_AT_ONCE: Final = 200
"""Records in one step: more would hold up what else the loop does."""


class Repricer:
    """Reads the book from the log and the requests from the ledger, each time it is asked."""

    def __init__(self, log: EventLog, ledger: Ledger) -> None:
        self._log = log
        self._ledger = ledger

    async def reprice(self, as_of: str | datetime | None, where: Filter) -> Repricing | None:
        """Return the requests that match at the prices of then; None: there never was such a version.

        Raises LogUnavailable, OutcomeUnknown.
        """
        book = BookAt(as_of)
        for subject in _SUBJECTS:
            async for recorded in self._log.read(LR_CONFIG, subject):
                if recorded.event is not None:
                    book.take(recorded.event.data)
        if not book.found:
            return None
        repricing = Repricing(book)
        after: tuple[int, str] | None = None
        while True:
            page = await self._ledger.requests(where, limit=_AT_ONCE, after=after)
            repricing.add(page.items)
            after = page.after
            if after is None:
                return repricing
