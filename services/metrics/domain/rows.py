"""The ledger's rows: what is kept of a usage record, field by field in the order of the tables' columns.

They hold no cycles and come by the thousand, so the garbage collector is spared them: going over them, and every so
often over the heap of the whole process, cost as much as reading the records.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

NOTHING_TRIED: Final = "none"
"""In the place of an outcome, where there was no attempt."""


class RequestRow(msgspec.Struct, frozen=True, gc=False):
    """One request, narrow: everything that questions filter, group and sum by."""

    id: str
    day: str
    """``YYYY-MM-DD`` in UTC, from the record itself: with ``id`` the primary key, and the partition."""
    time_ms: int
    """Unix milliseconds of the request's arrival."""
    key_id: str | None
    key_name: str | None
    router: str | None
    provider: str | None
    model: str | None
    requested_model: str | None
    endpoint: str
    dialect: str
    stream: int
    status: str
    http_status: int | None
    error_code: str | None
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    token_source: str
    cost: int | None
    """Pico-USD; None: some attempt's price is unknown."""
    known_cost: int
    """Pico-USD of what has a price: what sums are made from."""
    shadow_cost: int
    """Pico-USD that the answers of subscriptions would cost at API prices, as far as these are known."""
    ttft_ms: float | None
    duration_ms: float
    overhead_ms: float | None
    attempts: int
    client_request_id: str | None
    """The caller's own id for it, which may stand for several requests."""
    outcome: str | None
    """How its only attempt ended, of which this row says all the rest as well: it has no row of its own.

    None: its attempts have rows.
    """


class AttemptRow(msgspec.Struct, frozen=True, gc=False):
    """One attempt, of several or unlike its request, with what its request is filtered by."""

    request_id: str
    day: str
    position: int
    time_ms: int
    """Of the request, so that a range holds either all of a request or nothing."""
    key_id: str | None
    key_name: str | None
    router: str | None
    status: str
    """Of the request."""
    provider: str | None
    model: str | None
    outcome: str
    first_of_provider: int
    """1 on the first attempt of its request at this provider: the sum counts requests."""
    first_of_model: int
    """1 on the first attempt of its request at this model."""
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost: int | None
    shadow_cost: int
    duration_ms: float
    http_status: int | None
    error_code: str | None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """Everything the ledger, the counters and the access log take from one record."""

    request: RequestRow
    attempts: tuple[AttemptRow, ...]
    """Empty where the request's row tells of its only one, or that there was none."""
    line: bytes
    """Of the access log."""
    raw: bytes
    """The whole record as it came, fields of newer gateways included."""

    @property
    def identity(self) -> tuple[str, str]:
        """What deduplication goes by."""
        return self.request.id, self.request.day


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a consumer has come, and in which stream: ``identity`` changes when the stream was made anew."""

    identity: str
    sequence: int
