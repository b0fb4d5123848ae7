"""Which requests the ledger may hold already: those that are new by their id alone need not be looked up."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from services.metrics.adapters.tables import REQUESTS

_MOST: Final = 8_192
"""Ids that are remembered, a megabyte: what arrives now was begun later than what arrived so many requests ago."""


class KnownIds:
    """Remembers every stored id above a mark. Ids begin with the time, so nearly all that come are above it, and one
    that is neither below nor remembered is new."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._mark = ""
        # in the order in which they came, which is nearly their own: then sorting takes no time
        self._above: dict[str, None] = {}

    def open(self, connection: Connection) -> None:
        """See where the ledger ends; call it first, and after a transaction of which nobody knows whether it counts."""
        self._mark = connection.execute(select(func.max(REQUESTS.c.id))).scalar() or ""
        self._above = {}

    def doubtful(self, ids: Iterable[str]) -> list[str]:
        """Return those that the ledger may hold."""
        mark, above = self._mark, self._above
        return [request_id for request_id in ids if request_id <= mark or request_id in above]

    def committed(self, ids: Iterable[str]) -> None:
        """Remember what was written."""
        mark = self._mark
        self._above.update({request_id: None for request_id in ids if request_id > mark})
        if len(self._above) > self._most:
            ordered = sorted(self._above)
            self._mark = ordered[len(ordered) // 2]
            self._above = dict.fromkeys(ordered[len(ordered) // 2 + 1 :])
