"""The fold from usage messages to ledger rows: the same messages give the same rows, wherever and whenever."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from sys import intern
from typing import Final, TypeVar

import msgspec

from services.metrics.domain.batches import Adding, Batch
from services.metrics.domain.rows import NOTHING_TRIED, AttemptRow, Entry, RequestRow
from services.metrics.projections.access import access_line
from shared.contracts.usage import Attempt, Tokens, UsageRecord, decode_record
from shared.kernel.clock import parse_rfc3339
from shared.kernel.errors import ContractBroken
from shared.log.port import Recorded

MAX_TOKENS: Final = 10**15
"""Per class of one record: sums of nine thousand such lies still fit the column."""
MAX_COST: Final = 9_000_000 * 10**12
"""Pico-USD: nine million dollars, what a signed 64-bit column holds."""
MAX_MS: Final = 1e12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_ROUNDING_MS: Final = 0.002
"""Three durations that were rounded to the microsecond, each on its own."""
_NEWEST: Final = 1
_ESCAPE: Final = b"\\"
"""Few records hold one, and a single byte is found at once."""
_NUL: Final = b"\\u0000"


class _Envelope(msgspec.Struct, frozen=True):
    """A usage envelope whose records are still bytes: they are kept as they came, fields of tomorrow included."""

    gateway: str
    position: str
    records: list[msgspec.Raw]
    version: int = 1


_DECODER: Final = msgspec.json.Decoder(_Envelope)


def fold(messages: Iterable[Recorded]) -> Batch:
    """Return what ``messages`` say. A record that comes twice is taken once; one that does not read marks its message
    as broken and takes nothing else with it."""
    batch, adding = Batch(), Adding()
    for recorded in messages:
        batch.sequence = max(batch.sequence, recorded.sequence)
        try:
            raws = _records(recorded.raw)
        except ContractBroken as error:
            batch.broken[recorded.sequence] = str(error)
            continue
        wrong: list[str] = []
        unlike: list[str] = []
        fresh: list[Entry] = []
        for index, raw in enumerate(raws):
            try:
                entry = read_entry(bytes(raw))
            except ContractBroken as error:
                wrong.append(f"record {index}: {error}")
                continue
            known = batch.entries.setdefault(entry.identity, entry)
            if known is entry:
                batch.origins[entry.identity] = recorded.sequence
                fresh.append(entry)
            elif not same(known.raw, entry.raw):
                # in the words, and in the place, of one that the ledger knows: which it is hangs on the batch alone
                unlike.append(another(entry.request.id))
        adding.take(fresh)
        if wrong or unlike:
            batch.broken[recorded.sequence] = _shortened("; ".join(wrong + unlike))
    batch.added = adding.added()
    return batch


def read_entry(raw: bytes) -> Entry:
    """Return the rows and the line of one record; raises ContractBroken for what no ledger can hold."""
    record = decode_record(raw)
    day, time_ms = _moment(record.time)
    outcome = _outcome(record)
    _check(record, () if outcome is not None else record.attempts)
    known = record.cost
    if known is None:
        known = min(MAX_COST, sum(attempt.cost or 0 for attempt in record.attempts))
    tokens = record.tokens
    request = RequestRow(
        record.id,
        day,
        time_ms,
        _shared(record.key_id),
        _shared(record.key_name),
        _shared(record.router),
        _shared(record.provider),
        _shared(record.model),
        record.requested_model,
        record.endpoint,
        record.dialect,
        int(record.stream),
        record.status,
        record.http_status,
        record.error_code,
        tokens.input,
        tokens.cached,
        tokens.cache_write,
        tokens.output,
        tokens.reasoning,
        tokens.source,
        record.cost,
        known,
        record.shadow_cost or 0,
        record.ttft_ms,
        record.duration_ms,
        record.overhead_ms,
        len(record.attempts),
        record.client_request_id,
        outcome,
    )
    if _ESCAPE in raw and _NUL in raw:
        # a text column of PostgreSQL cannot hold it: the rows get a sign in its place, the record stays as it came
        request = _without_nul(request)
        attempts = tuple(_without_nul(row) for row in _attempts(record, request))
        return Entry(request, attempts, access_line(record), raw)
    return Entry(request, _attempts(record, request), access_line(record), raw)


def _shared(name: str | None) -> str | None:
    # one object for each name: what is grouped by it is then found at a glance, and a thousand rows hold it once
    return name and intern(name)


_Row = TypeVar("_Row", RequestRow, AttemptRow)


def _without_nul(row: _Row) -> _Row:
    texts = {name: text for name in row.__struct_fields__ if isinstance(text := getattr(row, name), str)}
    return msgspec.structs.replace(row, **{name: text.replace("\0", "\ufffd") for name, text in texts.items()})


def _records(raw: bytes) -> list[msgspec.Raw]:
    try:
        envelope = _DECODER.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ContractBroken(f"not a usage envelope: {error}") from error
    if envelope.version > _NEWEST:
        raise ContractBroken(f"usage envelope v{envelope.version} is newer than v{_NEWEST} known here")
    return envelope.records


def same(one: bytes, other: bytes) -> bool:
    """Whether two records with one id say the same."""
    return one == other or msgspec.json.decode(one) == msgspec.json.decode(other)


def another(request_id: str) -> str:
    """Return the reason for which a second, different record of one request is set aside."""
    return f"request {request_id} has another record already"


def _outcome(record: UsageRecord) -> str | None:
    """Return how the only attempt ended, where the request says all the rest of it; None: attempts need rows."""
    if not record.attempts:
        return NOTHING_TRIED
    attempt, *others = record.attempts
    overhead_ms = record.overhead_ms
    if (
        others
        or attempt.provider != record.provider
        or attempt.model != record.model
        or attempt.tokens != record.tokens
        or attempt.cost != record.cost
        or attempt.shadow_cost != record.shadow_cost
        or attempt.http_status != record.http_status
        or attempt.error_code != record.error_code
        or attempt.duration_ms < 0
        or overhead_ms is None
        or abs(record.duration_ms - overhead_ms - attempt.duration_ms) > _ROUNDING_MS
    ):
        return None
    return attempt.outcome


def _attempts(record: UsageRecord, request: RequestRow) -> tuple[AttemptRow, ...]:
    if request.outcome is not None:
        return ()
    if len(record.attempts) == 1:
        return (_attempt(request, 0, record.attempts[0], 1, 1),)
    providers: set[str] = set()
    models: set[str] = set()
    rows: list[AttemptRow] = []
    for position, attempt in enumerate(record.attempts):
        first_of_provider, first_of_model = attempt.provider not in providers, attempt.model not in models
        providers.add(attempt.provider)
        models.add(attempt.model)
        rows.append(_attempt(request, position, attempt, int(first_of_provider), int(first_of_model)))
    return tuple(rows)


def _attempt(
    request: RequestRow, position: int, attempt: Attempt, first_of_provider: int, first_of_model: int
) -> AttemptRow:
    tokens = attempt.tokens
    return AttemptRow(
        request.id,
        request.day,
        position,
        request.time_ms,
        request.key_id,
        request.key_name,
        request.router,
        request.status,
        attempt.provider,
        attempt.model,
        attempt.outcome,
        first_of_provider,
        first_of_model,
        tokens.input,
        tokens.cached,
        tokens.cache_write,
        tokens.output,
        tokens.reasoning,
        attempt.cost,
        attempt.shadow_cost or 0,
        attempt.duration_ms,
        attempt.http_status,
        attempt.error_code,
    )


def _moment(text: str) -> tuple[str, int]:
    """Return the day and the Unix milliseconds of a time as we write it, or in another form that RFC 3339 allows."""
    if len(text) == 24 and text[19] == "." and text[23] == "Z":
        seconds = text[17:19] + text[20:23]
        if seconds < "60000" and seconds.isdigit() and seconds.isascii():
            day, milliseconds = _minute(text[:17])
            return day, milliseconds + int(seconds)
    return _any_moment(text)


@lru_cache(maxsize=1_024)
def _minute(head: str) -> tuple[str, int]:
    # records come by the hundred in a minute, and reading a time costs as much as a third of reading the record
    return _any_moment(f"{head}00.000Z")


def _any_moment(text: str) -> tuple[str, int]:
    try:
        moment = parse_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise ContractBroken(f"not a time: {text!r}") from error
    if moment < _EPOCH:
        raise ContractBroken(f"a time before 1970: {text!r}")
    return moment.date().isoformat(), (moment - _EPOCH) // _MILLISECOND


def _check(record: UsageRecord, attempts: Iterable[Attempt]) -> None:
    """Refuse what a column, a sum or a counter cannot hold: it would take its whole batch down, again and again."""
    if not record.id:
        raise ContractBroken("a record without an id")
    _check_amounts(record.tokens, record.cost, record.shadow_cost, record.duration_ms)
    for milliseconds in (record.ttft_ms, record.overhead_ms):
        if milliseconds is not None and not 0 <= milliseconds <= MAX_MS:
            raise ContractBroken(f"a duration of {milliseconds} ms")
    for attempt in attempts:
        _check_amounts(attempt.tokens, attempt.cost, attempt.shadow_cost, attempt.duration_ms)
        _check_status(attempt.http_status)
    _check_status(record.http_status)


def _check_amounts(tokens: Tokens, cost: int | None, shadow_cost: int | None, duration_ms: float) -> None:
    if not (
        0 <= tokens.input <= MAX_TOKENS
        and 0 <= tokens.cached <= MAX_TOKENS
        and 0 <= tokens.cache_write <= MAX_TOKENS
        and 0 <= tokens.output <= MAX_TOKENS
        and 0 <= tokens.reasoning <= MAX_TOKENS
    ):
        classes = (tokens.input, tokens.cached, tokens.cache_write, tokens.output, tokens.reasoning)
        raise ContractBroken(f"token counts must be 0 to {MAX_TOKENS}, not {classes}")
    for amount in (cost, shadow_cost):
        if amount is not None and not 0 <= amount <= MAX_COST:
            raise ContractBroken(f"a cost must be 0 to {MAX_COST} pico-USD, not {amount}")
    if not 0 <= duration_ms <= MAX_MS:
        raise ContractBroken(f"a duration of {duration_ms} ms")


def _check_status(status: int | None) -> None:
    if status is not None and not 0 <= status <= 999:
        raise ContractBroken(f"an HTTP status of {status}")


def _shortened(text: str, limit: int = 2_000) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
