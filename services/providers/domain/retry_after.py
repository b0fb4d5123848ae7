"""How long a vendor asks to be left alone, in every form that vendors say it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_LONGEST_MS: Final = 31 * 24 * 3600 * 1000
_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WORDS: Final = re.compile(r"(?i)\b(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?(?:ms|s|m|h|d)\s?)+)")


def retry_after_ms(headers: Mapping[str, str], message: str, now: datetime) -> int | None:
    """Return milliseconds to stay away, or None where nothing is said that reads.

    Headers (names in lower case): ``retry-after-ms``, ``retry-after`` in seconds or as an HTTP date,
    ``x-ratelimit-reset-{requests,tokens}`` of exhausted counters as spans (``6m0s``) or seconds; last the words of
    the message (``try again in 1.5s``).
    """
    for found in (
        _number(headers.get("retry-after-ms"), 1),
        _number(headers.get("retry-after"), 1_000),
        _date(headers.get("retry-after"), now),
        _resets(headers),
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
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, round((moment - now).total_seconds() * 1_000))


def _resets(headers: Mapping[str, str]) -> int | None:
    longest: int | None = None
    for counter in ("requests", "tokens"):
        reset = headers.get(f"x-ratelimit-reset-{counter}")
        remaining = headers.get(f"x-ratelimit-remaining-{counter}")
        if reset is None or remaining not in (None, "0"):
            continue
        value = span_ms(reset) if reset.strip()[-1:].isalpha() else _number(reset, 1_000)
        if value is not None:
            longest = max(longest or 0, value)
    return longest


def _words(message: str) -> int | None:
    found = _WORDS.search(message)
    return span_ms(found[1]) if found else None
