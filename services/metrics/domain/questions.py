"""What may be asked of the ledger, what it answers, and the port that answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from shared.contracts.usage import UsageRecord

GroupBy = Literal["key", "provider", "model", "router", "status", "day", "hour"]
GroupKey = str | int
"""The value of one thing grouped by: hours are numbers (since 1970), all else is text, empty for none."""
GROUPS: Final[tuple[GroupBy, ...]] = get_args(GroupBy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which requests: None means any. A request belongs to every provider and model that it was tried at."""

    start_ms: int | None = None
    """Unix milliseconds, inclusive."""
    end_ms: int | None = None
    """Unix milliseconds, exclusive."""
    key: str | None = None
    """A key's id or name."""
    provider: str | None = None
    model: str | None = None
    router: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over one group. Per provider and model they are over the attempts made there."""

    group: dict[str, str | None]
    """By the name of what was grouped by; ``key_name`` comes along with ``key``."""
    requests: int
    succeeded: int
    attempts: int
    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int
    cost: int
    """Pico-USD of everything whose price is known."""
    shadow_cost: int
    """Pico-USD that the answers of subscriptions would cost at API prices, as far as these are known."""
    unpriced: int
    """Requests that hold something of unknown price."""


def told_cost(cost: int, *, unpriced: int, count: int) -> int | None:
    """Return what ``count`` things are said to cost of which ``unpriced`` have no price; None where none has one."""
    return None if cost == 0 and 0 < count <= unpriced else cost


@dataclass(frozen=True, slots=True)
class UsagePage:
    """Some groups in the order of their names; ``after`` is where the next page begins, None on the last."""

    items: Sequence[Usage]
    totals: Usage
    after: tuple[GroupKey, ...] | None


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Some records, newest first; ``after`` is the time and id of the last one, None on the last page."""

    items: Sequence[UsageRecord]
    after: tuple[int, str] | None


class Ledger(Protocol):
    """Answers questions about usage."""

    async def usage(
        self, where: Filter, group_by: Sequence[GroupBy], *, limit: int, after: tuple[GroupKey, ...] | None
    ) -> UsagePage:
        """Sum the requests that match, by group."""
        ...

    async def requests(self, where: Filter, *, limit: int, after: tuple[int, str] | None) -> RequestPage:
        """Return the requests that match, newest first."""
        ...

    async def request(self, request_id: str) -> UsageRecord | None:
        """Return one request's record, by its id or, the newest of them, by the id that the caller gave it."""
        ...
