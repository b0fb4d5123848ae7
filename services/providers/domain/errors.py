"""What a vendor's error means: its status, words and headers as one of the closed kinds of failure."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

import msgspec

from services.providers.domain.retry_after import retry_after_ms, span_ms
from shared.contracts.frames import Fail, FailureKind
from shared.kernel.redaction import MASK, redact

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding a vendor's bytes may raise: not JSON, not UTF-8, nested without end."""

_MOST_WORDS: Final = 2_000
_LONGEST_NAME: Final = 200
_OWNER: Final = re.compile(
    r"""
    (?P<what>
        \b(?:org|proj|acct)[-_](?=[A-Za-z0-9]{6})
      | (?i:\b(?:organi[sz]ation|project|projects|account|tenant|workspace|consumer|subscription)s?
          (?:\s+id|\s+number)?[\s:=/'"`(]{1,3})(?=[0-9a-f]{8}-[0-9a-f]{4}-|[0-9]{6})
      | [?&](?i:key|token|access_token|sig|signature|api[-_]key|code|client_secret)=
    )
    [^\s&"'`<>,;)]+
    """,
    re.VERBOSE,
)
"""Whose key it is, as OpenAI, Anthropic, Google and Azure say it, and what opens an address."""
_NO_HEADERS: Final[Mapping[str, str]] = {}


class VendorError(NamedTuple):
    """An error block in the words of the vendor."""

    message: str
    code: str | None = None
    type: str | None = None
    param: str | None = None
    status: int | None = None
    kind: FailureKind | None = None
    """Where the details of the error leave no doubt."""
    retry_after_ms: int | None = None
    headers: Mapping[str, str] = _NO_HEADERS
    """Those that a gateway hands on from behind itself, names in lower case."""


_CONTEXT: Final = (
    "context_length_exceeded",
    "maximum context length",
    "context window",
    "context length",
    "context size",
    "exceed_context_size",
    "too many tokens",
    "prompt is too long",
    "reduce the length of the messages",
    "too large for model with",
    "exceed context limit",
    "exceeds the maximum number of tokens",
    "maximum prompt length",
    "prompt too long",
    "input is too long",
    "too_many_prompt_tokens",
)
_POLICY: Final = (
    "content_policy",
    "content_filter",
    "content management policy",
    "invalid_prompt",
    "moderation",
    "flagged",
    "usage policies",
)
_QUOTA: Final = (
    "insufficient_quota",
    "insufficient balance",
    "insufficient credits",
    "exceeded your current quota",
    "billing",
    "payment required",
    "credit balance",
    "credits are depleted",
)
_UNKNOWN_MODEL: Final = (
    "model_not_found",
    "model not found",
    "no such model",
    "invalid_model",
    "invalid model",
    "supported models are",
)
_BAD_KEY: Final = ("invalid_api_key", "api_key_invalid", "api key not valid", "api key expired")
_OVERLOADED: Final = ("overloaded", "capacity", "at capacity", "busy")
_UNSUPPORTED: Final = (
    "unsupported_parameter",
    "unsupported_value",
    "unsupported mime type",
    "does not support",
    "not supported",
    "extra_forbidden",
    "extra inputs are not permitted",
    # The model wrote what cannot be read; another one may do better.
    "tool_use_failed",
    "json_validate_failed",
    "malformed_function_call",
    "unexpected_tool_call",
    "too_many_tool_calls",
    "malformed_response",
)
_TYPES: Final = {
    "invalid_request_error": FailureKind.INVALID_REQUEST,
    "authentication_error": FailureKind.AUTHENTICATION,
    "permission_error": FailureKind.AUTHENTICATION,
    "billing_error": FailureKind.QUOTA,
    "not_found_error": FailureKind.MODEL_NOT_FOUND,
    "request_too_large": FailureKind.CONTEXT_LENGTH,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "timeout_error": FailureKind.TIMEOUT,
    "api_error": FailureKind.SERVER_ERROR,
    "overloaded_error": FailureKind.OVERLOADED,
    "INVALID_ARGUMENT": FailureKind.INVALID_REQUEST,
    "UNAUTHENTICATED": FailureKind.AUTHENTICATION,
    "PERMISSION_DENIED": FailureKind.AUTHENTICATION,
    "NOT_FOUND": FailureKind.MODEL_NOT_FOUND,
    "RESOURCE_EXHAUSTED": FailureKind.RATE_LIMITED,
    "DEADLINE_EXCEEDED": FailureKind.TIMEOUT,
    "UNAVAILABLE": FailureKind.OVERLOADED,
}
"""Anthropic's types (https://docs.anthropic.com/en/api/errors) and Google's, where an error comes without a status."""
_PLAIN: Final = frozenset({"id", "message", "code", "status", "type", "param", "request_id", "data"})
"""What stands in an error that is no more than a message (Cohere's, many gateways')."""

_STATUS: Final = {
    401: FailureKind.AUTHENTICATION,
    402: FailureKind.QUOTA,
    403: FailureKind.AUTHENTICATION,
    404: FailureKind.MODEL_NOT_FOUND,
    408: FailureKind.TIMEOUT,
    409: FailureKind.OVERLOADED,
    413: FailureKind.CONTEXT_LENGTH,
    425: FailureKind.OVERLOADED,
    429: FailureKind.RATE_LIMITED,
    498: FailureKind.OVERLOADED,  # Groq: flex tier capacity exceeded
    503: FailureKind.OVERLOADED,
    504: FailureKind.TIMEOUT,
    529: FailureKind.OVERLOADED,
}


def read_error(body: object) -> VendorError | None:
    """Return the error that a parsed body holds, or None where it holds none.

    Known: OpenAI's ``error`` object or text, Google's with its details, the same in a list, Mistral's and FastAPI's
    ``message`` and ``detail``, a bare ``message`` as Cohere has it.
    """
    if isinstance(body, list):
        return next((found for item in cast("list[object]", body[:1]) if (found := read_error(item))), None)
    if not isinstance(body, dict):
        return None
    fields = cast("dict[str, Any]", body)
    found = fields.get("error")
    if found:
        return _block(found, fields)
    if fields.get("object") == "error" or "detail" in fields or (fields.get("type") == "error" and "message" in fields):
        return _block(fields, fields)
    if isinstance(fields.get("message"), str) and fields.keys() <= _PLAIN:
        return _block(fields, fields)
    return None


def error_of(value: object) -> VendorError:
    """Return the error that a part of an answer is, whatever its shape: the block itself, or what holds one."""
    return read_error(value) or _block(value or "the vendor answered an error", {})


def _block(found: object, outer: dict[str, Any]) -> VendorError:
    if not isinstance(found, dict):
        return VendorError(_text(found) or "error", status=_status(outer.get("status_code")))
    block = cast("dict[str, Any]", found)
    message = block.get("message") or block.get("detail") or block.get("error") or block
    wrong = _wrong_fields(message)
    code, param, name = block.get("code"), block.get("param"), block.get("status")
    metadata = _object(block.get("metadata"))
    raw = metadata.get("raw")
    kind, wait = _google(block)
    google = isinstance(name, str) and not name.isdecimal()
    return VendorError(
        (wrong[0] if wrong else _text(message)) + (f": {_text(raw)}" if raw else ""),
        code=name if google else None if code is None else str(code),
        type=block["type"] if isinstance(block.get("type"), str) else None,
        param=param if isinstance(param, str) else wrong[1] if wrong else None,
        status=_status(code) or _status(block.get("status_code")),
        kind=kind,
        retry_after_ms=wait,
        headers={name.lower(): str(value) for name, value in _object(metadata.get("headers")).items()},
    )


def _wrong_fields(message: object) -> tuple[str, str | None] | None:
    """Return the words of FastAPI's list of what is wrong with a request, and the first field named in it."""
    rows: object = cast("dict[str, Any]", message).get("detail") if isinstance(message, dict) else message
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "msg" in row for row in cast("list[Any]", rows)):
        return None
    words: list[str] = []
    first: str | None = None
    for row in cast("list[dict[str, Any]]", rows):
        place = [str(step) for step in row.get("loc") or () if step != "body"]
        first = first or (".".join(place) or None)
        words.append(": ".join(part for part in (".".join(place), str(row["msg"])) if part))
    return "; ".join(words) or "invalid request", first


def _google(block: dict[str, Any]) -> tuple[FailureKind | None, int | None]:
    """Return the kind that the details of a Google error tell, and the wait in milliseconds.

    https://cloud.google.com/apis/design/errors#error_details: a key that is none comes with status 400, a quota of a
    minute and one of a day, which is the plan's, both as RESOURCE_EXHAUSTED with the same words.
    """
    kind: FailureKind | None = None
    wait: int | None = None
    details = block.get("details")
    for detail in (_object(item) for item in (cast("list[object]", details) if isinstance(details, list) else ())):
        if str(detail.get("reason", "")).startswith("API_KEY_"):
            kind = FailureKind.AUTHENTICATION
        if isinstance(detail.get("retryDelay"), str):
            wait = span_ms(detail["retryDelay"])
        violations = detail.get("violations")
        if isinstance(violations, list) and block.get("status") == "RESOURCE_EXHAUSTED":
            ids = [str(_object(item).get("quotaId", "")) for item in cast("list[object]", violations)]
            kind = FailureKind.QUOTA if any("PerDay" in name for name in ids) else FailureKind.RATE_LIMITED
    if kind is None and block.get("status") == "RESOURCE_EXHAUSTED" and not _depleted(block):
        kind = FailureKind.RATE_LIMITED
    return kind, wait


def _depleted(block: dict[str, Any]) -> bool:
    return "depleted" in str(block.get("message", "")).lower()


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _status(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isdecimal() and 400 <= int(text) <= 599 else None


def classify(status: int | None, error: VendorError) -> FailureKind:
    """Return the kind of a failure from the status (None: inside a stream that began well) and the vendor's words."""
    if error.kind is not None:
        return error.kind
    words = f"{error.code or ''} {error.type or ''} {error.message}".lower()
    status = status if status is not None and status >= 400 else error.status
    if status is None or status in (400, 403, 404, 413, 422, 429, 500):
        for kind, signs in _signs(status):
            if any(sign in words for sign in signs):
                return kind
    if status is None:
        return _TYPES.get(error.type or "") or _TYPES.get(error.code or "") or _by_type(words)
    known = _STATUS.get(status)
    if known is not None:
        return known
    return FailureKind.SERVER_ERROR if status >= 500 or status < 400 else FailureKind.INVALID_REQUEST


def _signs(status: int | None) -> list[tuple[FailureKind, tuple[str, ...]]]:
    if status == 429:
        return [(FailureKind.QUOTA, _QUOTA), (FailureKind.OVERLOADED, ("overloaded", "at capacity"))]
    if status == 403:
        return [(FailureKind.CONTENT_POLICY, _POLICY), (FailureKind.QUOTA, _QUOTA)]
    if status == 404:
        return []
    signs: list[tuple[FailureKind, tuple[str, ...]]] = [(FailureKind.CONTEXT_LENGTH, _CONTEXT)]
    if status == 413:
        return [(FailureKind.RATE_LIMITED, ("rate_limit", "tokens per minute")), *signs]
    if status == 500:
        return signs
    return [
        *signs,
        (FailureKind.CONTENT_POLICY, _POLICY),
        (FailureKind.QUOTA, _QUOTA),
        (FailureKind.AUTHENTICATION, _BAD_KEY),
        (FailureKind.MODEL_NOT_FOUND, _UNKNOWN_MODEL),
        (FailureKind.UNSUPPORTED, _UNSUPPORTED),
    ]


def _by_type(words: str) -> FailureKind:
    if "rate_limit" in words or "rate limit" in words or "too many requests" in words:
        return FailureKind.RATE_LIMITED
    if any(sign in words for sign in _OVERLOADED):
        return FailureKind.OVERLOADED
    if "invalid_request" in words:
        return FailureKind.INVALID_REQUEST
    if "authentication" in words or "invalid_api_key" in words:
        return FailureKind.AUTHENTICATION
    return FailureKind.SERVER_ERROR


def failed(
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    now: datetime,
    credential_id: str | None = None,
    secret: str | None = None,
) -> Fail:
    """Return the failure that an answer with an error status is.

    ``headers``: names in lower case; ``secret``: the credential that was sent, which some vendors repeat in words.
    """
    try:
        error = read_error(msgspec.json.decode(body))
    except UNREADABLE:
        error = None
    if error is None:
        words = " ".join(body[:_MOST_WORDS].decode("utf-8", "replace").split())
        error = VendorError(words if words and not words.startswith("<") else f"the vendor answered {status}")
    kind = classify(status, error)
    wait = None
    if kind in (FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.QUOTA, FailureKind.SERVER_ERROR):
        wait = retry_after_ms({**error.headers, **headers}, error.message, now, error.retry_after_ms)
    return Fail(
        kind=kind,
        message=clean(error.message, secret),
        http_status=status,
        code=_named(error),
        param=_short(error.param),
        retry_after_ms=wait,
        credential_id=credential_id,
    )


def error_in_answer(error: VendorError) -> Fail:
    """Return the failure that an error inside an answer of status 200 is."""
    return Fail(
        kind=classify(None, error),
        message=clean(error.message),
        http_status=error.status,
        code=_named(error),
        param=_short(error.param),
        retry_after_ms=error.retry_after_ms,
    )


def _named(error: VendorError) -> str | None:
    return _short(error.code or error.type)


def _short(name: str | None) -> str | None:
    return None if name is None else clean(name)[:_LONGEST_NAME]


def clean(message: str, secret: str | None = None) -> str:
    """Return a vendor's words on one line, cut to a length that logs bear, without credentials (in addresses neither)
    and without the name that the vendor gives the operator's organisation or project."""
    if secret:
        message = message.replace(secret, MASK)
    words = redact(" ".join(message.split())[:_MOST_WORDS])
    return _OWNER.sub(lambda found: found["what"] + MASK, words)
