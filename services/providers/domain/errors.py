"""What a vendor's error means: its status, words and headers as one of the closed kinds of failure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

import msgspec

from services.providers.domain.retry_after import retry_after_ms
from shared.contracts.frames import Fail, FailureKind
from shared.kernel.redaction import redact

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding a vendor's bytes may raise: not JSON, not UTF-8, nested without end."""

_MOST_WORDS: Final = 2_000
_NO_HEADERS: Final[Mapping[str, str]] = {}


class VendorError(NamedTuple):
    """An error block in the words of the vendor."""

    message: str
    code: str | None = None
    type: str | None = None
    param: str | None = None
    status: int | None = None


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
)
_UNKNOWN_MODEL: Final = ("model_not_found", "model not found", "no such model", "invalid_model", "invalid model")
_OVERLOADED: Final = ("overloaded", "capacity", "at capacity", "busy")
_UNSUPPORTED: Final = ("unsupported_parameter", "unsupported_value", "does not support", "not supported")

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
    """Return the error that a parsed body holds (OpenAI's ``error`` object or text, Mistral's and FastAPI's
    ``message`` and ``detail``), or None where it holds none."""
    if not isinstance(body, dict):
        return None
    fields = cast("dict[str, Any]", body)
    found = fields.get("error")
    if found:
        return _block(found, fields)
    if fields.get("object") == "error" or "detail" in fields or (fields.get("type") == "error" and "message" in fields):
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
    code, param = block.get("code"), block.get("param")
    metadata = block.get("metadata")
    raw = cast("dict[str, Any]", metadata).get("raw") if isinstance(metadata, dict) else None
    return VendorError(
        _text(message) + (f": {_text(raw)}" if raw else ""),
        code=None if code is None else str(code),
        type=block["type"] if isinstance(block.get("type"), str) else None,
        param=param if isinstance(param, str) else None,
        status=_status(code) or _status(block.get("status_code")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _status(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isdecimal() and 400 <= int(text) <= 599 else None


def classify(status: int | None, error: VendorError) -> FailureKind:
    """Return the kind of a failure from the status (None: inside a stream that began well) and the vendor's words."""
    words = f"{error.code or ''} {error.type or ''} {error.message}".lower()
    status = status if status is not None and status >= 400 else error.status
    if status is None or status in (400, 403, 404, 413, 422, 429, 500):
        for kind, signs in _signs(status):
            if any(sign in words for sign in signs):
                return kind
    if status is None:
        return _by_type(words)
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
        wait = retry_after_ms(headers, error.message, now)
    return Fail(
        kind=kind,
        message=clean(error.message, secret),
        http_status=status,
        code=error.code or error.type,
        param=error.param,
        retry_after_ms=wait,
        credential_id=credential_id,
    )


def error_in_answer(error: VendorError) -> Fail:
    """Return the failure that an error inside an answer of status 200 is."""
    return Fail(
        kind=classify(None, error),
        message=clean(error.message),
        http_status=error.status,
        code=error.code or error.type,
        param=error.param,
    )


def clean(message: str, secret: str | None = None) -> str:
    """Return a vendor's words without credentials, on one line, cut to a length that logs bear."""
    if secret:
        message = message.replace(secret, "***")
    return redact(" ".join(message.split())[:_MOST_WORDS])
