"""The questions that may be asked of the ledger, as SQL."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Engine,
    Row,
    Select,
    Table,
    Text,
    and_,
    case,
    distinct,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.engine import Connection

from services.metrics.adapters.tables import ATTEMPTS, RECORDS, REQUESTS
from services.metrics.domain.counters import TOKEN_CLASSES
from services.metrics.domain.questions import Filter, GroupBy, GroupKey, RequestPage, Usage, UsagePage
from shared.contracts.usage import UsageRecord, decode_record
from shared.kernel.clock import rfc3339

T = TypeVar("T")

_HOUR_MS: Final = 3_600_000
_NONE: Final = literal_column("''", Text)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""
_SPLIT: Final = 10**12
"""Costs are summed as whole dollars and the rest: their sum may be more than a 64-bit integer holds."""


class SqlLedger:
    """Answers from the ledger's file, in a thread of its own, so that a long question holds up no projection."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        """``engine`` opens the file for reading; called at the first question."""
        self._open = engine
        self._engine: Engine | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-questions")

    async def usage(
        self, where: Filter, group_by: Sequence[GroupBy], *, limit: int, after: tuple[GroupKey, ...] | None
    ) -> UsagePage:
        """Sum the requests that match, by group."""
        return await self._ask(lambda engine: _usage(engine, where, group_by, limit, after))

    async def requests(self, where: Filter, *, limit: int, after: tuple[int, str] | None) -> RequestPage:
        """Return the requests that match, newest first."""
        return await self._ask(lambda engine: _requests(engine, where, limit, after))

    async def request(self, request_id: str) -> UsageRecord | None:
        """Return one request's record, by its id or, the newest of them, by the id that the caller gave it."""
        return await self._ask(lambda engine: _request(engine, request_id))

    async def start(self) -> None:
        """Nothing to begin: the file is opened by the first question."""

    async def stop(self) -> None:
        """Let the running question end, then let go of the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    async def _ask(self, question: Callable[[Engine], T]) -> T:
        def answer() -> T:
            if self._engine is None:
                self._engine = self._open()
            return question(self._engine)

        return await asyncio.get_running_loop().run_in_executor(self._thread, answer)

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def _usage(
    engine: Engine, where: Filter, group_by: Sequence[GroupBy], limit: int, after: tuple[GroupKey, ...] | None
) -> UsagePage:
    narrowed = where.provider is not None or where.model is not None
    table = ATTEMPTS if narrowed or "provider" in group_by or "model" in group_by else REQUESTS
    with engine.connect() as connection:
        # where the groups are of attempts, a request may be in several of them: the totals count it once
        totals = _read(
            connection.execute(_sums(ATTEMPTS if narrowed else REQUESTS, where, where.model is not None)).one()
        )
        if not group_by:
            return UsagePage([totals], totals, None)
        groups = [_group(table, name) for name in group_by]
        asked = _sums(table, where, where.model is not None or "model" in group_by)
        asked = asked.add_columns(*groups).group_by(*groups).order_by(*groups).limit(limit + 1)
        if after is not None:
            asked = asked.where(tuple_(*groups) > tuple_(*(literal(part) for part in after)))
        rows = connection.execute(asked).all()
        page = rows[:limit]
        keys = [tuple(row[-len(groups) :]) for row in page]
        names = _key_names(connection, {key[group_by.index("key")] for key in keys}) if "key" in group_by else {}
    items = [_read(row, _labels(group_by, key, names)) for row, key in zip(page, keys, strict=True)]
    return UsagePage(items, totals, keys[-1] if len(rows) > limit else None)


def _sums(table: Table, where: Filter, by_model: bool) -> Select[*tuple[Any, ...]]:
    """Sums over requests, or over attempts: there each request counts where it came first to a provider or model."""
    column = table.c
    if table is REQUESTS:
        one: ColumnElement[int] = literal(1)
        attempts, cost, unpriced = func.sum(column.attempts), column.known_cost, func.sum(_when(column.cost.is_(None)))
    else:
        one = column.first_of_model if by_model else column.first_of_provider
        attempts, cost = func.sum(_when(column.position >= 0)), func.coalesce(column.cost, 0)
        unpriced = func.count(distinct(case((column.cost.is_(None), column.request_id + column.day))))
    sums = (
        func.sum(one),
        func.sum(case((column.status == "succeeded", one), else_=0)),
        attempts,
        *(func.sum(column[f"{name}_tokens"]) for name in TOKEN_CLASSES),
        func.sum(cost // _SPLIT),
        func.sum(cost % _SPLIT),
        unpriced,
    )
    return select(*(func.coalesce(each, 0) for each in sums)).where(*_conditions(table, where))


def _when(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _read(row: Row[*tuple[Any, ...]], group: dict[str, str | None] | None = None) -> Usage:
    # sums of 64-bit integers are decimals to PostgreSQL
    sums = [int(value) for value in row[:11]]
    requests, succeeded, attempts, plain, cached, cache_write, output, reasoning, dollars, rest, unpriced = sums
    return Usage(
        group or {},
        requests=requests,
        succeeded=succeeded,
        attempts=attempts,
        input=plain,
        cached=cached,
        cache_write=cache_write,
        output=output,
        reasoning=reasoning,
        cost=dollars * _SPLIT + rest,
        unpriced=unpriced,
    )


def _group(table: Table, name: GroupBy) -> ColumnElement[Any]:
    column = table.c
    match name:
        case "hour":
            # literals, not parameters: PostgreSQL takes two parameters for two expressions, and refuses the grouping
            return column.time_ms // literal_column(str(_HOUR_MS), BigInteger)
        case "day" | "status":
            return column[name]
        case "key":
            return func.coalesce(column.key_id, _NONE)
        case _:
            # the empty text stands for none, so that groups have an order and a cursor can name its place in it
            return func.coalesce(column[name], _NONE)


def _labels(
    group_by: Sequence[GroupBy], key: tuple[GroupKey, ...], names: dict[GroupKey, str | None]
) -> dict[str, str | None]:
    labels: dict[str, str | None] = {}
    for name, value in zip(group_by, key, strict=True):
        if name == "hour":
            labels[name] = rfc3339(datetime.fromtimestamp(int(value) * 3600, UTC))
        else:
            labels[name] = str(value) or None
        if name == "key":
            labels["key_name"] = names.get(value)
    return labels


def _key_names(connection: Connection, keys: set[GroupKey]) -> dict[GroupKey, str | None]:
    """Return the newest name of each key."""
    column = REQUESTS.c
    newest = select(column.key_name).order_by(column.time_ms.desc()).limit(1)
    return {key: connection.execute(newest.where(column.key_id == key)).scalar() for key in keys}


def _requests(engine: Engine, where: Filter, limit: int, after: tuple[int, str] | None) -> RequestPage:
    column = REQUESTS.c
    asked = select(column.time_ms, column.id, RECORDS.c.record).join(
        RECORDS, _same_request(RECORDS.c.id, RECORDS.c.day)
    )
    asked = asked.where(*_conditions(REQUESTS, where))
    if after is not None:
        asked = asked.where(tuple_(column.time_ms, column.id) < tuple_(*(literal(part) for part in after)))
    with engine.connect() as connection:
        rows = connection.execute(asked.order_by(column.time_ms.desc(), column.id.desc()).limit(limit + 1)).all()
    page = rows[:limit]
    last = (page[-1].time_ms, page[-1].id) if len(rows) > limit else None
    return RequestPage([decode_record(row.record) for row in page], last)


def _request(engine: Engine, request_id: str) -> UsageRecord | None:
    column = REQUESTS.c
    newest = select(RECORDS.c.record).join(REQUESTS, _same_request(RECORDS.c.id, RECORDS.c.day))
    newest = newest.order_by(column.time_ms.desc()).limit(1)
    with engine.connect() as connection:
        raw = connection.execute(newest.where(column.id == request_id)).scalar()
        if raw is None:
            raw = connection.execute(newest.where(column.client_request_id == request_id)).scalar()
    return None if raw is None else decode_record(raw)


def _day(time_ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=max(0, min(time_ms, _LAST_MS)))).date().isoformat()


def _same_request(request_id: ColumnElement[str], day: ColumnElement[str]) -> ColumnElement[bool]:
    return and_(request_id == REQUESTS.c.id, day == REQUESTS.c.day)


def _conditions(table: Table, where: Filter) -> list[ColumnElement[bool]]:
    column = table.c
    conditions: list[ColumnElement[bool]] = []
    # the day as well as the time: it is what PostgreSQL's partitions go by
    if where.start_ms is not None:
        conditions += [column.time_ms >= where.start_ms, column.day >= _day(where.start_ms)]
    if where.end_ms is not None:
        conditions += [column.time_ms < where.end_ms, column.day <= _day(where.end_ms)]
    if where.key is not None:
        conditions.append(or_(column.key_id == where.key, column.key_name == where.key))
    if where.router is not None:
        conditions.append(column.router == where.router)
    if where.status is not None:
        conditions.append(column.status == where.status)
    tried = [ATTEMPTS.c[name] == value for name in ("provider", "model") if (value := getattr(where, name)) is not None]
    if tried and table is REQUESTS:
        there = select(ATTEMPTS.c.request_id).where(_same_request(ATTEMPTS.c.request_id, ATTEMPTS.c.day), *tried)
        conditions.append(there.exists())
    elif tried:
        conditions.extend(tried)
    return conditions
