"""Sums of what was used, as SQL: from rollups where their spans of time fit the question, else from the rows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
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
)

from services.metrics.adapters.tables import ATTEMPT_ROWS, REQUESTS, ROLLUP_GROUPS, ROLLUPS
from services.metrics.domain.counters import TOKEN_CLASSES
from services.metrics.domain.questions import Filter, GroupBy
from services.metrics.domain.spans import Span

_HOUR_MS: Final = 3_600_000
_NONE: Final = literal_column("''", Text)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""
SPLIT: Final = 10**12
"""Costs are summed as whole dollars and the rest: their sum may be more than a 64-bit integer holds."""


def from_rollups(where: Filter, spans: Sequence[Span], *, tried: bool, by_model: bool) -> Select[*tuple[Any, ...]]:
    """Sums over the rollups of ``spans``; ``tried``: over attempts, where each request counts where it came first to
    a provider or, ``by_model``, to a model."""
    column = ROLLUPS.c
    if tried:
        one = column.tried_model if by_model else column.tried_provider
        unpriced = column.unpriced_model if by_model else column.unpriced_provider
        attempts, prefix = column.tried, "tried_"
    else:
        one, unpriced, attempts, prefix = column.requests, column.unpriced, column.attempts, ""
    sums = (
        func.sum(one),
        func.sum(case((ROLLUP_GROUPS.c.status == "succeeded", one), else_=0)),
        func.sum(attempts),
        *(func.sum(column[f"{prefix}{name}"]) for name in TOKEN_CLASSES),
        func.sum(column[f"{prefix}cost_usd"]),
        func.sum(column[f"{prefix}cost_pico"]),
        func.sum(column[f"{prefix}shadow_cost_usd"]),
        func.sum(column[f"{prefix}shadow_cost_pico"]),
        func.sum(unpriced),
    )
    asked = select(*(func.coalesce(each, 0) for each in sums)).where(or_(*(_within(span) for span in spans)))
    asked = asked.select_from(ROLLUPS.join(ROLLUP_GROUPS, ROLLUP_GROUPS.c.id == column.group_id))
    if tried:
        # what only answered, after others, is counted with the requests
        asked = asked.where(or_(column.tried > 0, column.tried_provider > 0, column.tried_model > 0))
    else:
        asked = asked.where(column.requests > 0)
    return asked.where(*_group_conditions(where))


def _within(span: Span) -> ColumnElement[bool]:
    start = ROLLUPS.c.start
    conditions = [ROLLUPS.c.resolution == span.resolution]
    if span.start is not None:
        conditions.append(start >= span.start)
    if span.end is not None:
        conditions.append(start < span.end)
    return and_(*conditions)


def _group_conditions(where: Filter) -> list[ColumnElement[bool]]:
    column = ROLLUP_GROUPS.c
    conditions: list[ColumnElement[bool]] = []
    if where.key is not None:
        conditions.append(or_(column.key_id == where.key, column.key_name == where.key))
    for name in ("provider", "model", "router", "status"):
        value: str | None = getattr(where, name)
        if value is not None:
            conditions.append(column[name] == value)
    return conditions


def rollup_group(name: GroupBy) -> ColumnElement[Any]:
    """Return what a question groups rollups by."""
    match name:
        case "hour":
            return ROLLUPS.c.start // literal_column("3600", BigInteger)
        case "day":
            return ROLLUPS.c.start // literal_column("86400", BigInteger)
        case "key":
            return ROLLUP_GROUPS.c.key_id
        case _:
            return ROLLUP_GROUPS.c[name]


def from_rows(table: Table, where: Filter, *, by_model: bool) -> Select[*tuple[Any, ...]]:
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
        func.sum(cost // SPLIT),
        func.sum(cost % SPLIT),
        func.sum(column.shadow_cost // SPLIT),
        func.sum(column.shadow_cost % SPLIT),
        unpriced,
    )
    return select(*(func.coalesce(each, 0) for each in sums)).where(*conditions(table, where))


def _when(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def row_group(table: Table, name: GroupBy) -> ColumnElement[Any]:
    """Return what a question groups rows by."""
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


def conditions(table: Table, where: Filter) -> list[ColumnElement[bool]]:
    """Return what rows of ``table`` must be like to match."""
    column = table.c
    found: list[ColumnElement[bool]] = []
    # the day as well as the time: it is what PostgreSQL's partitions go by
    if where.start_ms is not None:
        found += [column.time_ms >= where.start_ms, column.day >= _day(where.start_ms)]
    if where.end_ms is not None:
        found += [column.time_ms < where.end_ms, column.day <= _day(where.end_ms)]
    if where.key is not None:
        found.append(or_(column.key_id == where.key, column.key_name == where.key))
    if where.router is not None:
        found.append(column.router == where.router)
    if where.status is not None:
        found.append(column.status == where.status)
    tried = {name: value for name in ("provider", "model") if (value := getattr(where, name)) is not None}
    if tried and table is REQUESTS:
        # not through the view of all attempts: what the row itself tells needs no other one
        rows = ATTEMPT_ROWS.c
        there = select(rows.request_id).where(
            same_request(rows.request_id, rows.day, REQUESTS), *_equal(ATTEMPT_ROWS, tried)
        )
        found.append(or_(and_(column.outcome.is_not(None), *_equal(REQUESTS, tried)), there.exists()))
    else:
        found.extend(_equal(table, tried))
    return found


def _equal(table: Table, values: Mapping[str, str]) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in values.items()]


def same_request(request_id: ColumnElement[str], day: ColumnElement[str], table: FromClause) -> ColumnElement[bool]:
    """Whether a row belongs to a request of ``table``."""
    return and_(request_id == table.c.id, day == table.c.day)


def _day(time_ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=max(0, min(time_ms, _LAST_MS)))).date().isoformat()
