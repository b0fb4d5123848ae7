"""How long a vendor asks to be left alone, in every form that vendors say it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_LONGEST_MS: Final = 31 * 24 * 3600 * 1000
_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WORDS: Final = re.compile(
    r"(?i)\b(?:try again|retry|wait)\s+(?:(?:in|after|for|at least)\s+)*"
    r"((?:\d+(?:\.\d+)?\s?(?:ms|milliseconds?|seconds?|secs?|s|minutes?|mins?|m|hours?|h|days?|d)(?![a-z])[\s,]*(?:and\s)?)+)"
)
_WORD: Final = re.compile(r"(?i)(\d+(?:\.\d+)?)\s?(ms|milli|s|m|h|d)")
_RESET: Final = re.compile(r"(?:x-ratelimit-reset(?P<after>-.+)?|anthropic-ratelimit-(?P<within>.+)-reset)")
_SECONDS_OF_AN_EPOCH: Final = 1e9
"""From here on a number is no span but a moment: seconds since 1970, a thousand times as many are milliseconds."""


def retry_after_ms(headers: Mapping[str, str], message: str, now: datetime, told_ms: int | None = None) -> int | None:
    """Return milliseconds to stay away, or None where nothing is said that reads.

    Headers (names in lower case): ``retry-after-ms``, ``retry-after`` in seconds or as an HTTP date; then ``told_ms``,
    what the body itself says; then the resets of exhausted counters, ``x-ratelimit-reset``, ``x-ratelimit-reset-*``
    and ``anthropic-ratelimit-*-reset``, as spans (``6m0s``), seconds, seconds or milliseconds since 1970, or moments of
    RFC 3339; last the words of the message (``try again in 1.5s``).
    """
    for found in (
        _number(headers.get("retry-after-ms"), 1),
        _number(headers.get("retry-after"), 1_000),
        _date(headers.get("retry-after"), now),
        told_ms,
        _resets(headers, now),
        _words(message),
    ):
        if found is not None:
            return min(found, _LONGEST_MS)
    return None


def span_ms(text: str) -> int | None:
    """Read ``6m0s``, ``1.5s`` or ``120ms``; None for another form."""
    text = text.strip()
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        return None
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


def _number(text: str | None, unit_ms: int) -> int | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return round(value * unit_ms) if 0 <= value < _LONGEST_MS else None


def _date(text: str | None, now: datetime) -> int | None:
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return _until(moment, now)


def _until(moment: datetime, now: datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, round((moment - now).total_seconds() * 1_000))


def _resets(headers: Mapping[str, str], now: datetime) -> int | None:
    longest: int | None = None
    for name, reset in headers.items():
        found = _RESET.fullmatch(name)
        if found is None:
            continue
        if not _exhausted(headers, found["after"] or "", found["within"]):
            continue
        value = _reset_ms(reset.strip(), now)
        if value is not None:
            longest = max(longest or 0, value)
    return longest


def _exhausted(headers: Mapping[str, str], after: str, within: str | None) -> bool:
    """Whether a counter is used up. One of Anthropic's says so, by number or status, or it is not: all are always
    told. One of the others that tells no number is."""
    if within is None:
        remaining = headers.get(f"x-ratelimit-remaining{after}")
        return remaining is None or _number(remaining, 1) == 0
    remaining = headers.get(f"anthropic-ratelimit-{within}-remaining")
    return _number(remaining, 1) == 0 or headers.get(f"anthropic-ratelimit-{within}-status") == "rejected"


def _reset_ms(text: str, now: datetime) -> int | None:
    """Read a span, seconds, or a moment of RFC 3339 or since 1970."""
    span = span_ms(text)
    if span is not None:
        return span
    try:
        value = float(text)
    except ValueError:
        return _rfc3339(text, now)
    if value >= _SECONDS_OF_AN_EPOCH:
        seconds = value / 1_000 if value >= _SECONDS_OF_AN_EPOCH * 1_000 else value
        return max(0, round((seconds - now.timestamp()) * 1_000)) if seconds < _SECONDS_OF_AN_EPOCH * 100 else None
    return _number(text, 1_000)


def _rfc3339(text: str, now: datetime) -> int | None:
    try:
        return _until(datetime.fromisoformat(text), now)
    except ValueError:
        return None


def _words(message: str) -> int | None:
    found = _WORDS.search(message)
    if found is None:
        return None
    total = 0.0
    for number, unit in _WORD.findall(found[1]):
        total += float(number) * _UNITS["ms" if unit.lower() in ("ms", "milli") else unit[0].lower()]
    return round(total)
