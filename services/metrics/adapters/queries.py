"""The questions that may be asked of the ledger, as SQL."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import Engine, Row, Select, literal, select, tuple_
from sqlalchemy.engine import Connection

from services.metrics.adapters.sums import (
    SPLIT,
    conditions,
    from_rollups,
    from_rows,
    rollup_group,
    row_group,
    same_request,
)
from services.metrics.adapters.tables import ATTEMPTS, BURIED, RECORDS, REQUESTS
from services.metrics.domain.questions import Filter, GroupBy, GroupKey, RequestPage, Usage, UsagePage
from services.metrics.domain.spans import spans
from shared.contracts.usage import UsageRecord, decode_record
from shared.kernel.clock import rfc3339

T = TypeVar("T")

_EPOCH: Final = date(1970, 1, 1)


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

    async def buried(self, sequences: Sequence[int]) -> set[int]:
        """Return those messages of the usage log that were set aside, and not taken since."""
        asked = select(BURIED.c.sequence).where(BURIED.c.sequence.in_(sequences))

        def found(engine: Engine) -> set[int]:
            with engine.connect() as connection:
                return set(connection.execute(asked).scalars())

        return await self._ask(found)

    async def between(self, work: Callable[[], None]) -> None:
        """Do something to the ledger while nobody has it open for reading."""

        def closed() -> None:
            self._close()
            work()

        await asyncio.get_running_loop().run_in_executor(self._thread, closed)

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
    tried = narrowed or "provider" in group_by or "model" in group_by
    covered = None if where.key == "" else spans(where.start_ms, where.end_ms, by_hour="hour" in group_by)

    def sums(tried: bool, by_model: bool) -> Select[*tuple[Any, ...]]:
        if covered is not None:
            return from_rollups(where, covered, tried=tried, by_model=by_model)
        return from_rows(ATTEMPTS if tried else REQUESTS, where, by_model=by_model)

    with engine.connect() as connection:
        # where the groups are of attempts, a request may be in several of them: the totals count it once
        totals = _read(connection.execute(sums(narrowed, where.model is not None)).one())
        if not group_by:
            return UsagePage([totals], totals, None)
        table = ATTEMPTS if tried else REQUESTS
        groups = [rollup_group(name) if covered is not None else row_group(table, name) for name in group_by]
        asked = sums(tried, where.model is not None or "model" in group_by)
        asked = asked.add_columns(*groups).group_by(*groups).order_by(*groups).limit(limit + 1)
        if after is not None:
            place = _numbered(group_by, after) if covered is not None else after
            asked = asked.where(tuple_(*groups) > tuple_(*(literal(part) for part in place)))
        rows = connection.execute(asked).all()
        page = rows[:limit]
        keys = [_named(group_by, tuple(row[-len(groups) :])) for row in page]
        names = _key_names(connection, {key[group_by.index("key")] for key in keys}) if "key" in group_by else {}
    items = [_read(row, _labels(group_by, key, names)) for row, key in zip(page, keys, strict=True)]
    return UsagePage(items, totals, keys[-1] if len(rows) > limit else None)


def _named(group_by: Sequence[GroupBy], key: tuple[GroupKey, ...]) -> tuple[GroupKey, ...]:
    """Return a key with the days by name, which rollups number."""
    return tuple(
        (_EPOCH + timedelta(days=part)).isoformat() if name == "day" and isinstance(part, int) else part
        for name, part in zip(group_by, key, strict=True)
    )


def _numbered(group_by: Sequence[GroupBy], key: tuple[GroupKey, ...]) -> tuple[GroupKey, ...]:
    return tuple(
        (date.fromisoformat(str(part)) - _EPOCH).days if name == "day" else part
        for name, part in zip(group_by, key, strict=True)
    )


def _read(row: Row[*tuple[Any, ...]], group: dict[str, str | None] | None = None) -> Usage:
    # sums of 64-bit integers are decimals to PostgreSQL
    sums = [int(value) for value in row[:13]]
    requests, succeeded, attempts, plain, cached, cache_write, output, reasoning = sums[:8]
    dollars, rest, shadow_dollars, shadow_rest, unpriced = sums[8:]
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
        cost=dollars * SPLIT + rest,
        shadow_cost=shadow_dollars * SPLIT + shadow_rest,
        unpriced=unpriced,
    )


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
        RECORDS, same_request(RECORDS.c.id, RECORDS.c.day, REQUESTS)
    )
    asked = asked.where(*conditions(REQUESTS, where))
    if after is not None:
        asked = asked.where(tuple_(column.time_ms, column.id) < tuple_(*(literal(part) for part in after)))
    with engine.connect() as connection:
        rows = connection.execute(asked.order_by(column.time_ms.desc(), column.id.desc()).limit(limit + 1)).all()
    page = rows[:limit]
    last = (page[-1].time_ms, page[-1].id) if len(rows) > limit else None
    return RequestPage([decode_record(row.record) for row in page], last)


def _request(engine: Engine, request_id: str) -> UsageRecord | None:
    column = REQUESTS.c
    newest = select(RECORDS.c.record).join(REQUESTS, same_request(RECORDS.c.id, RECORDS.c.day, REQUESTS))
    newest = newest.order_by(column.time_ms.desc()).limit(1)
    with engine.connect() as connection:
        raw = connection.execute(newest.where(column.id == request_id)).scalar()
        if raw is None:
            raw = connection.execute(newest.where(column.client_request_id == request_id)).scalar()
    return None if raw is None else decode_record(raw)
