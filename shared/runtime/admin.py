"""What every service's part of the admin API is made of: problem documents, If-Match, cursors, the actor.

Imported only when the admin API is loaded: FastAPI costs 20 MB that an idle gateway does not spend.
"""

import base64
import uuid
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import FastAPI, Header, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from shared.kernel.errors import LogUnavailable, OutcomeUnknown, Refusal
from shared.runtime.unknown_fields import allowed_fields

PREFIX = "/admin/v1"
ACTOR_HEADER = "x-localrouter-actor"
"""The name of the admin token, set by the gateway after it checked the token; a caller's own is dropped there."""

_MAX_DIGITS = 18

_NAMESPACE: Final = uuid.UUID("7b0f4f5c-58a4-4a0e-9d0a-0f6f5f1c2a11")
"""In which an Idempotency-Key becomes an id."""

T = TypeVar("T")


class Problem(Exception):
    """An answer as an RFC 9457 problem document; ``code`` is stable and machine-readable."""

    def __init__(self, status: int, code: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.members = members


class Page(BaseModel, Generic[T]):
    """One page of a list; ``next_cursor`` is null on the last."""

    items: list[T]
    next_cursor: str | None = None


Actor = Annotated[str, Header(alias=ACTOR_HEADER, include_in_schema=False)]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many items at most")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="idempotency-key", max_length=200, description="Creating again with the same key creates nothing"),
]
IfMatch = Annotated[str | None, Header(alias="if-match", description="The version that was read, as its ETag")]


def admin_app(title: str) -> FastAPI:
    """Return an application that answers every error as a problem document."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

    @app.exception_handler(Problem)
    async def on_problem(_: Request, error: Problem) -> JSONResponse:
        return _document(error.status, error.code, error.detail, error.members)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            {"where": ".".join(str(part) for part in item["loc"]), "what": _what(request, item)}
            for item in error.errors()
        ]
        detail = "; ".join(f"{item['where']}: {item['what']}" for item in errors)
        return _document(422, "invalid_request", detail, {"errors": jsonable_encoder(errors)})

    @app.exception_handler(HTTPException)
    async def on_http(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        return _document(error.status_code, code, str(error.detail), {}, error.headers)

    @app.exception_handler(LogUnavailable)
    async def on_unavailable(_: Request, error: LogUnavailable) -> JSONResponse:
        return _document(503, "log_unavailable", f"the event log does not answer, nothing was changed: {error}", {})

    @app.exception_handler(OutcomeUnknown)
    async def on_unknown(_: Request, error: OutcomeUnknown) -> JSONResponse:
        detail = f"the event log did not confirm in time; read the resource before trying again: {error}"
        return _document(503, "outcome_unknown", detail, {})

    return app


def _what(request: Request, item: dict[str, Any]) -> str:
    """Return what is wrong; for an unknown field of the body with what is allowed there."""
    body = getattr(request.scope.get("route"), "body_field", None)
    if item["type"] != "extra_forbidden" or body is None:
        return item["msg"]
    allowed = allowed_fields(body.field_info.annotation, item["loc"][1:-1])
    return f"unknown field, allowed are {', '.join(allowed)}" if allowed else item["msg"]


def _document(status: int, code: str, detail: str, members: dict[str, Any], headers: Any = None) -> JSONResponse:
    body = {
        "type": "about:blank",
        "title": code.replace("_", " "),
        "status": status,
        "code": code,
        "detail": detail,
    }
    return JSONResponse(body | members, status, headers, media_type="application/problem+json")


def refused(refusal: Refusal) -> Problem:
    """Return a refusal as the answer to raise."""
    return Problem(refusal.status, refusal.code, refusal.message)


def derived_id(kind: str, idempotency_key: str) -> str:
    """Return the id of the ``kind`` of resource that is created with this Idempotency-Key."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}:{idempotency_key}"))


def etag(version: int) -> str:
    """Return the ETag of a resource at ``version``."""
    return f'"{version}"'


def expected_version(if_match: str | None) -> int | None:
    """Read an If-Match header (``"3"`` or ``*``); raises Problem for another form."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isdecimal() or len(text) > _MAX_DIGITS:
        raise Problem(400, "invalid_if_match", f'If-Match must be an ETag such as "3", not {if_match!r}')
    return int(text)


def paginate(items: Sequence[T], key: Callable[[T], str], limit: int, cursor: str | None) -> tuple[list[T], str | None]:
    """Return one page of ``items`` (sorted by ``key``, a function to a text) and the cursor of the next."""
    after = decode_cursor(cursor)
    rest = [item for item in items if after is None or key(item) > after]
    page = rest[:limit]
    return page, encode_cursor(key(page[-1])) if len(rest) > limit else None


def encode_cursor(text: str) -> str:
    """Return an opaque cursor."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> str | None:
    """Read a cursor; raises Problem for one that is none."""
    if cursor is None:
        return None
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError as error:
        raise Problem(400, "invalid_cursor", f"not a cursor of this list: {cursor!r}") from error
