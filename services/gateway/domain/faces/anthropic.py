"""Anthropic's face: messages and the counting of their tokens.

Forms as in https://platform.claude.com/docs/en/api/messages and https://platform.claude.com/docs/en/api/errors.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from services.gateway.domain.errors import ApiError, bad_request
from services.gateway.domain.faces.face import Body, Face, Route, missing, require_messages

_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""By status; another 4xx is ``invalid_request_error``, another 5xx ``api_error``."""


def _require_message(body: Body) -> None:
    require_messages(body)
    if body.get("max_tokens") is None:
        raise missing("max_tokens")
    most = body["max_tokens"]
    if type(most) is not int or most < 1:
        raise bad_request("'max_tokens' must be a positive whole number.", param="max_tokens")


def _error_body(error: ApiError, request_id: str) -> bytes:
    kind = _TYPES.get(error.status) or ("invalid_request_error" if error.status < 500 else "api_error")
    answer = {"type": "error", "error": {"type": kind, "message": error.message}}
    return msgspec.json.encode(answer | {"request_id": request_id} if request_id else answer)


def _error_event(error: ApiError, request_id: str, _: bytes) -> bytes:
    return b"event: error\ndata: " + _error_body(error, request_id) + b"\n\n"


ANTHROPIC: Final = Face(
    routes={
        "/v1/messages": Route(dialect="anthropic_messages", check=_require_message),
        "/v1/messages/count_tokens": Route(
            dialect="anthropic_count_tokens", check=require_messages, streams="never", billed=False
        ),
    },
    error_body=_error_body,
    error_event=_error_event,
    key_headers=frozenset({b"x-api-key"}),
    passed_headers=frozenset({b"anthropic-beta", b"anthropic-version"}),
    id_headers=(b"x-request-id", b"request-id"),
)
