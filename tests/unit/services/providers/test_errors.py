"""What vendors' errors mean, and how long they ask to be left alone."""

from datetime import UTC, datetime

import msgspec
import pytest

from services.providers.domain.errors import failed
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
        ({}, "", None),
    ],
)
def test_every_form_of_retry_after_is_read(headers, message, wanted):
    assert retry_after_ms(headers, message, NOW) == wanted


def test_spans_are_read_whole_or_not():
    assert span_ms("1h2m3s") == 3_723_000
    assert span_ms("1h and more") is None
    assert span_ms("") is None
