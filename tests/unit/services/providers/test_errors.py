"""What vendors' errors mean, and how long they ask to be left alone."""

from datetime import UTC, datetime

import msgspec
import pytest

from services.providers.domain.errors import clean, error_in_answer, error_of, failed
from services.providers.domain.retry_after import retry_after_ms, span_ms
from shared.contracts.frames import FailureKind

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def kind(status: int, message: str = "", code: str | None = None, **headers: str) -> FailureKind:
    body = msgspec.json.encode({"error": {"message": message, "type": "t", "code": code}})
    return failed(status, body, headers, now=NOW).kind


@pytest.mark.parametrize(
    ("status", "message", "code", "wanted"),
    [
        (400, "bad", None, FailureKind.INVALID_REQUEST),
        (400, "This model's maximum context length is 8192 tokens", None, FailureKind.CONTEXT_LENGTH),
        (400, "rejected by our safety system", "content_policy_violation", FailureKind.CONTENT_POLICY),
        (400, "x", "unsupported_parameter", FailureKind.UNSUPPORTED),
        (401, "no", None, FailureKind.AUTHENTICATION),
        (402, "pay", None, FailureKind.QUOTA),
        (403, "no", None, FailureKind.AUTHENTICATION),
        (403, "flagged by moderation", None, FailureKind.CONTENT_POLICY),
        (404, "no such model", None, FailureKind.MODEL_NOT_FOUND),
        (408, "slow", None, FailureKind.TIMEOUT),
        (413, "too large", None, FailureKind.CONTEXT_LENGTH),
        (422, "wrong", None, FailureKind.INVALID_REQUEST),
        (429, "slow down", "rate_limit_exceeded", FailureKind.RATE_LIMITED),
        (429, "pay", "insufficient_quota", FailureKind.QUOTA),
        (500, "oops", None, FailureKind.SERVER_ERROR),
        (502, "oops", None, FailureKind.SERVER_ERROR),
        (503, "busy", None, FailureKind.OVERLOADED),
        (504, "slow", None, FailureKind.TIMEOUT),
        (529, "busy", None, FailureKind.OVERLOADED),
        (302, "", None, FailureKind.SERVER_ERROR),
    ],
)
def test_status_and_words_make_a_kind(status, message, code, wanted):
    assert kind(status, message, code) is wanted


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"\xff\xfe", b"[]", b"null", b"plain words"])
def test_a_body_of_any_kind_has_a_message(body):
    failure = failed(502, body, {}, now=NOW)
    assert failure.kind is FailureKind.SERVER_ERROR
    assert failure.message
    assert "<" not in failure.message


def test_the_credential_and_whatever_looks_like_one_is_masked():
    body = b'{"error":{"message":"Incorrect key own-secret-value, not sk-proj-abcdefghijkl\\nnext"}}'
    failure = failed(401, body, {}, now=NOW, secret="own-secret-value")
    assert "own-secret-value" not in failure.message
    assert "abcdefghijkl" not in failure.message
    assert "\n" not in failure.message


def test_a_very_long_error_is_cut():
    body = msgspec.json.encode({"error": {"message": "x" * 100_000}})
    assert len(failed(500, body, {}, now=NOW).message) <= 2_000


@pytest.mark.parametrize(
    ("headers", "message", "wanted"),
    [
        ({"retry-after": "7"}, "", 7_000),
        ({"retry-after": "0.5"}, "", 500),
        ({"retry-after-ms": "120", "retry-after": "1"}, "", 120),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, "", 30_000),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, "", 0),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "-1"}, "", None),
        ({"retry-after": "nan"}, "", None),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "0"}, "", 360_000),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "9"}, "", None),
        ({"x-ratelimit-reset-tokens": "120ms"}, "", 120),
        ({}, "Please try again in 1.5s.", 1_500),
        ({}, "Please try again in 1m2.5s. Visit", 62_500),
        ({}, "Please retry in 38.2s.", 38_200),
        ({}, "Retry after 12 seconds.", 12_000),
        ({}, "wait 3 minutes and 5 seconds", 185_000),
        ({}, "Please try again in 6m0s", 360_000),
        ({"x-ratelimit-reset": "1767268860"}, "", 60_000),
        ({"x-ratelimit-reset": "1767268860000", "x-ratelimit-remaining": "0"}, "", 60_000),
        ({"x-ratelimit-reset-tokens-minute": "30.5", "x-ratelimit-remaining-tokens-minute": "0"}, "", 30_500),
        ({"anthropic-ratelimit-requests-reset": "2026-01-01T12:00:20Z"}, "", None),
        (
            {
                "anthropic-ratelimit-requests-reset": "2026-01-01T12:00:20Z",
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2026-01-01T13:00:00Z",
                "anthropic-ratelimit-tokens-remaining": "16000",
            },
            "",
            20_000,
        ),
        (
            {"anthropic-ratelimit-unified-reset": "1767268810", "anthropic-ratelimit-unified-status": "rejected"},
            "",
            10_000,
        ),
        (
            {"anthropic-ratelimit-unified-reset": "1767268810", "anthropic-ratelimit-unified-status": "allowed"},
            "",
            None,
        ),
        ({"x-ratelimit-reset": "1e999"}, "", None),
        ({"x-ratelimit-reset": "never"}, "", None),
        ({}, "", None),
    ],
)
def test_every_form_of_retry_after_is_read(headers, message, wanted):
    assert retry_after_ms(headers, message, NOW) == wanted


def test_spans_are_read_whole_or_not():
    assert span_ms("1h2m3s") == 3_723_000
    assert span_ms("1h and more") is None
    assert span_ms("") is None


def google(code: int, status: str, message: str, *details: dict[str, object]) -> bytes:
    return msgspec.json.encode({"error": {"code": code, "message": message, "status": status, "details": details}})


OVER = "You exceeded your current quota, please check your plan and billing details."
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "38.5s"}


def quota(name: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": name}]}


@pytest.mark.parametrize(
    ("details", "wanted"),
    [
        ((quota("GenerateRequestsPerMinutePerProjectPerModel"), RETRY), FailureKind.RATE_LIMITED),
        ((quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), RETRY), FailureKind.QUOTA),
        ((RETRY,), FailureKind.RATE_LIMITED),
    ],
)
def test_a_quota_of_google_is_the_plans_only_by_the_day(details, wanted):
    failure = failed(429, google(429, "RESOURCE_EXHAUSTED", OVER, *details), {}, now=NOW)
    assert (failure.kind, failure.retry_after_ms, failure.code) == (wanted, 38_500, "RESOURCE_EXHAUSTED")


def test_a_key_that_google_does_not_know_comes_with_status_400():
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    body = google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", info)
    assert failed(400, body, {}, now=NOW).kind is FailureKind.AUTHENTICATION


def test_an_error_in_a_list_is_the_error():
    body = b"[" + google(503, "UNAVAILABLE", "The model is overloaded.") + b"]"
    failure = failed(503, body, {}, now=NOW)
    assert (failure.kind, failure.message) == (FailureKind.OVERLOADED, "The model is overloaded.")


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, FailureKind.OVERLOADED),
        ({"type": "api_error", "message": "Internal server error"}, FailureKind.SERVER_ERROR),
        ({"type": "rate_limit_error", "message": "slow down"}, FailureKind.RATE_LIMITED),
        ({"type": "billing_error", "message": "pay"}, FailureKind.QUOTA),
        ({"type": "permission_error", "message": "no"}, FailureKind.AUTHENTICATION),
        ({"code": 503, "status": "UNAVAILABLE", "message": "busy"}, FailureKind.OVERLOADED),
        ({"status": "DEADLINE_EXCEEDED", "message": "slow"}, FailureKind.TIMEOUT),
        ({"status": "MALFORMED_FUNCTION_CALL", "message": "no call"}, FailureKind.UNSUPPORTED),
    ],
)
def test_an_error_in_a_stream_is_known_by_its_type(error, wanted):
    assert error_in_answer(error_of({"error": error})).kind is wanted


def test_what_a_gateway_hands_on_from_behind_is_read():
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1767268860000"}
    body = msgspec.json.encode({"error": {"code": 429, "message": "free", "metadata": {"headers": headers}}})
    assert failed(429, body, {}, now=NOW).retry_after_ms == 60_000


def test_fields_that_a_vendor_does_not_know_are_named_without_their_values():
    row = {"type": "extra_forbidden", "loc": ["body", "min_p"], "msg": "Extra inputs are not permitted", "input": "x"}
    failure = failed(422, msgspec.json.encode({"detail": [row]}), {}, now=NOW)
    assert failure.kind is FailureKind.UNSUPPORTED
    assert (failure.param, failure.message) == ("min_p", "min_p: Extra inputs are not permitted")


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("Limit for organization org-AbCdEf123456 reached", "Limit for organization org-*** reached"),
        ("not used in project 123456789012 before", "not used in project *** before"),
        (
            "organization: 8f14e45f-ceea-467f-9575-2a3b4c5d6e7f is disabled",
            "organization: *** is disabled",
        ),
        ("see https://x.example/v1?alt=sse&key=topsecretvalue for", "see https://x.example/v1?alt=sse&key=*** for"),
        ("the organization of the project", "the organization of the project"),
    ],
)
def test_whose_key_it_is_and_addresses_that_open_are_masked(message, wanted):
    assert clean(message) == wanted
