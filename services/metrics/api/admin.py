"""The admin API of what was used: sums by group, and every request's record."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, get_args

import msgspec
from fastapi import FastAPI, Query

from services.metrics.api.explanation import ExplainedRequest, explained_request
from services.metrics.api.letters import Letters, add_letters
from services.metrics.api.rebuild import Rebuilder, add_rebuild
from services.metrics.api.recent import Recent, add_recent
from services.metrics.api.reprice import Reprice, add_reprice
from services.metrics.api.shapes import RequestShape, Sums, UsageAnswer, UsageItem, request_shape, sums
from services.metrics.domain.questions import GROUPS, Filter, GroupBy, GroupKey, Ledger
from shared.contracts.usage import RequestStatus, UsageRecord
from shared.kernel.clock import parse_rfc3339
from shared.routing.explain import Explanation
from shared.runtime.admin import PREFIX, Cursor, Limit, Page, Problem, admin_app, decode_cursor, encode_cursor

_From = Annotated[
    str | None,
    Query(alias="from", description="From this RFC 3339 time, or this date (UTC), on", examples=["2026-01-31"]),
]
_To = Annotated[
    str | None,
    Query(alias="to", description="Up to but without this RFC 3339 time, or up to the end of this date (UTC)"),
]
_Key = Annotated[str | None, Query(description="A key's id or name")]
_Provider = Annotated[str | None, Query(description="A provider's slug: requests that were tried there")]
_Model = Annotated[str | None, Query(description="`<provider>/<model>`: requests that were tried there")]
_Router = Annotated[str | None, Query(description="A router's slug")]
_Status = Annotated[str | None, Query(description=f"One of {', '.join(get_args(RequestStatus))}")]
_GroupBy = Annotated[
    list[str] | None,
    Query(description=f"One or several of {', '.join(GROUPS)}: repeated or with commas between"),
]
_Interval = Annotated[
    Literal["day", "hour"] | None, Query(description="Group by time as well: `day` or `hour`, before all else")
]


Explain = Callable[[UsageRecord], Awaitable[Explanation | None]]


def admin(
    ledger: Ledger, explain: Explain, reprice: Reprice, recent: Recent, rebuild: Rebuilder, letters: Letters
) -> FastAPI:
    """Return the application that serves usage, requests, repricing, the last day, rebuilding, and dead letters."""
    app = admin_app("LocalRouter usage")
    _add_usage(app, ledger)
    _add_requests(app, ledger, explain)
    add_reprice(app, reprice, _filter)
    add_recent(app, recent)
    add_rebuild(app, rebuild)
    add_letters(app, letters)
    return app


def _add_usage(app: FastAPI, ledger: Ledger) -> None:
    @app.get(f"{PREFIX}/usage", tags=["usage"], operation_id="getUsage", response_model_exclude_unset=True)
    async def usage(  # pyright: ignore[reportUnusedFunction]  the route holds it
        start: _From = None,
        end: _To = None,
        key: _Key = None,
        provider: _Provider = None,
        model: _Model = None,
        router: _Router = None,
        status: _Status = None,
        group_by: _GroupBy = None,
        interval: _Interval = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> UsageAnswer:
        """Sum what was used. Per provider and model the sums are over the attempts made there, so a request that fell
        back counts at each; in the totals it counts once."""
        where = _filter(start, end, key, provider, model, router, status)
        groups = _groups(group_by or [], interval)
        page = await ledger.usage(where, groups, limit=limit, after=_group_cursor(cursor, groups))
        return UsageAnswer(
            items=[UsageItem(**item.group, **sums(item)) for item in page.items],  # pyright: ignore[reportArgumentType]
            next_cursor=_encode(page.after),
            totals=Sums(**sums(page.totals)),
        )


def _add_requests(app: FastAPI, ledger: Ledger, explain: Explain) -> None:
    @app.get(f"{PREFIX}/requests", tags=["requests"], operation_id="listRequests")
    async def requests(  # pyright: ignore[reportUnusedFunction]
        start: _From = None,
        end: _To = None,
        key: _Key = None,
        provider: _Provider = None,
        model: _Model = None,
        router: _Router = None,
        status: _Status = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Page[RequestShape]:
        """List requests, newest first."""
        where = _filter(start, end, key, provider, model, router, status)
        page = await ledger.requests(where, limit=limit, after=_request_cursor(cursor))
        return Page(items=[request_shape(record) for record in page.items], next_cursor=_encode(page.after))

    @app.get(f"{PREFIX}/requests/{{request_id}}", tags=["requests"], operation_id="getRequest")
    async def request(request_id: str) -> ExplainedRequest:  # pyright: ignore[reportUnusedFunction]
        """Show one request, by its id or by the `x-request-id` that its caller sent: its record with every attempt,
        and why it went where it went."""
        record = await ledger.request(request_id)
        if record is None:
            raise Problem(404, "request_not_found", f"no request {request_id!r} is in the ledger")
        return explained_request(record, await explain(record))


def _filter(
    start: str | None,
    end: str | None,
    key: str | None,
    provider: str | None,
    model: str | None,
    router: str | None,
    status: str | None,
) -> Filter:
    if status is not None and status not in get_args(RequestStatus):
        raise _invalid(f"status must be one of {', '.join(get_args(RequestStatus))}, not {status!r}")
    where = Filter(
        start_ms=None if start is None else _moment("from", start, whole_day=False),
        end_ms=None if end is None else _moment("to", end, whole_day=True),
        key=key,
        provider=provider,
        model=model,
        router=router,
        status=status,
    )
    if where.start_ms is not None and where.end_ms is not None and where.start_ms >= where.end_ms:
        raise _invalid(f"from must be before to: {start!r} is not before {end!r}")
    return where


def _moment(name: str, text: str, *, whole_day: bool) -> int:
    """Return Unix milliseconds; a date is its beginning, or with ``whole_day`` its end."""
    try:
        if len(text) == len("2026-01-31"):
            day = date.fromisoformat(text) + timedelta(days=1 if whole_day else 0)
            moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        else:
            # an unescaped + of an offset arrives as a space
            moment = parse_rfc3339(text.replace(" ", "+"))
    except (ValueError, OverflowError) as error:
        allowed = "an RFC 3339 time such as 2026-01-31T12:00:00Z or a date such as 2026-01-31"
        raise _invalid(f"{name} must be {allowed}, not {text!r}") from error
    return round(moment.timestamp() * 1000)


def _groups(asked: Sequence[str], interval: GroupBy | None) -> list[GroupBy]:
    names = [name.strip() for text in asked for name in text.split(",") if name.strip()]
    unknown = sorted(set(names) - set(GROUPS))
    if unknown:
        raise _invalid(f"group_by takes {', '.join(GROUPS)}, not {', '.join(unknown)}")
    chosen = dict.fromkeys([interval, *names] if interval else names)
    return [name for name in chosen if name in GROUPS]


def _group_cursor(cursor: str | None, groups: Sequence[GroupBy]) -> tuple[GroupKey, ...] | None:
    parts = _decode(cursor)
    if parts is None:
        return None
    kinds = [int if name == "hour" else str for name in groups]
    if [type(part) for part in parts] != kinds:
        raise _foreign(cursor)
    for name, part in zip(groups, parts, strict=True):
        if name == "day" and not _is_date(part):
            raise _foreign(cursor)
    return tuple(parts)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _request_cursor(cursor: str | None) -> tuple[int, str] | None:
    match _decode(cursor):
        case None:
            return None
        case [int() as time_ms, str() as request_id]:
            return time_ms, request_id
        case _:
            raise _foreign(cursor)


def _encode(after: tuple[GroupKey, ...] | None) -> str | None:
    return None if after is None else encode_cursor(msgspec.json.encode(after).decode())


def _decode(cursor: str | None) -> list[Any] | None:
    text = decode_cursor(cursor)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=list[Any])
    except msgspec.DecodeError as error:
        raise _foreign(cursor) from error


def _invalid(detail: str) -> Problem:
    return Problem(422, "invalid_request", detail)


def _foreign(cursor: str | None) -> Problem:
    return Problem(400, "invalid_cursor", f"not a cursor of this list: {cursor!r}")
