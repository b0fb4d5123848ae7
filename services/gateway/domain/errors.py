"""The errors of the data plane; how each is told is the client's face's."""

from shared.contracts.frames import Fail, FailureKind
from shared.routing.following import smallest_retry_after_ms


class ApiError(Exception):
    """An answer that is an error. ``code`` is one of the documented codes, ``kind`` OpenAI's type."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        retry_after_ms: int | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.kind = kind
        self.param = param
        self.retry_after_ms = retry_after_ms
        self._headers = headers

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that belong to this error."""
        headers = list(self._headers)
        if self.retry_after_ms is not None:
            headers.append((b"retry-after", str(max(1, -(-self.retry_after_ms // 1000))).encode()))
        return headers


def invalid_api_key() -> ApiError:
    """401: no key, or none that is known; says nothing about which keys exist."""
    message = "Incorrect API key provided. Send a LocalRouter key as 'Authorization: Bearer lr-…'."
    return ApiError(401, "invalid_api_key", message, headers=((b"www-authenticate", b"Bearer"),))


def forbidden(code: str, message: str) -> ApiError:
    """403: the key is known and may not do this."""
    return ApiError(403, code, message, kind="permission_error")


def bad_request(message: str, *, param: str | None = None, code: str = "invalid_request") -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, code, message, param=param)


def model_not_found(model: str) -> ApiError:
    """404: nothing here has that name."""
    return ApiError(404, "model_not_found", f"The model '{model}' does not exist here.", param="model")


def no_candidate(message: str) -> ApiError:
    """503: the plan holds nobody who could answer now."""
    return ApiError(503, "no_candidate", message, kind="server_error")


_PASSED_ON = {
    FailureKind.INVALID_REQUEST: "invalid_request",
    FailureKind.UNSUPPORTED: "unsupported_parameter",
    FailureKind.CONTENT_POLICY: "content_policy_violation",
    FailureKind.CONTEXT_LENGTH: "context_length_exceeded",
}


def upstream_failed(failures: list[tuple[str, Fail]], *, shown: bool = False) -> ApiError:
    """Return the answer when every attempt failed: the vendor's own words when the request was at fault.

    ``failures`` are ``(model, failure)`` in the order of the attempts; there is at least one. ``shown``: the client
    has a part of the answer, so that its request was right, whatever a vendor says that was asked to go on.
    """
    last = failures[-1][1]
    if last.kind in _PASSED_ON and not (shown and len(failures) > 1):
        status = last.http_status if last.http_status and 400 <= last.http_status < 500 else 400
        return ApiError(status, last.code or _PASSED_ON[last.kind], last.message, param=last.param)
    attempts = "; ".join(f"{name}: {failure.kind} ({failure.message})" for name, failure in failures)
    if last.kind is FailureKind.TIMEOUT:
        status, code = 504, "upstream_timeout"
    else:
        code = "all_attempts_failed"
        vendor_refused_us = last.kind in (FailureKind.AUTHENTICATION, FailureKind.QUOTA)
        passes_on = last.http_status is not None and 429 <= last.http_status < 600 and not vendor_refused_us
        status = last.http_status if passes_on and last.http_status is not None else 502
    return ApiError(
        status,
        code,
        f"Every attempt failed. {attempts}",
        kind="rate_limit_error" if status == 429 else "server_error",
        retry_after_ms=smallest_retry_after_ms(failure for _, failure in failures),
    )
