"""How full the windows of a subscription's plan are, as its vendor's answers say, and until when it is spent.

Anthropic tells each window's spent share and reset (``anthropic-ratelimit-unified-5h-utilization``, ``-5h-reset``),
OpenAI's sign-in its percentage (``x-codex-primary-used-percent``, ``-reset-at`` or ``-reset-after-seconds``). Vendors
enforce all windows together, so the latest reset of a spent one counts.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

_ANTHROPIC: Final = re.compile(r"anthropic-ratelimit-unified-([a-z0-9_]+)-utilization")
_CODEX: Final = re.compile(r"x-codex-([a-z]+)-used-percent")
_LONGEST: Final = timedelta(days=31)


class Spent(NamedTuple):
    """A plan that is not to be used before ``until``."""

    until: datetime
    reason: str


def spent(headers: Mapping[str, str], reserve: float, now: datetime) -> Spent | None:
    """Return until when a plan is spent but for its ``reserve`` (a share of it); None: it is not.

    ``headers``: of any answer, names in lower case; what does not read says nothing.
    """
    latest: Spent | None = None
    for name, share, until in _windows(headers, now):
        if share < 1 - reserve or until is None or not now < until <= now + _LONGEST:
            continue
        if latest is None or until > latest.until:
            latest = Spent(until, f"{share:.0%} of the plan's {name} window is used")
    return latest


def _windows(headers: Mapping[str, str], now: datetime) -> list[tuple[str, float, datetime | None]]:
    """Return every window's name, spent share and reset."""
    found: list[tuple[str, float, datetime | None]] = []
    for header, value in headers.items():
        if (match := _ANTHROPIC.fullmatch(header)) is not None:
            name, unit = match[1], 1.0
            until = _moment(headers.get(f"anthropic-ratelimit-unified-{name}-reset"))
        elif (match := _CODEX.fullmatch(header)) is not None:
            name, unit = match[1], 100.0
            until = _moment(headers.get(f"x-codex-{name}-reset-at")) or _later(
                headers.get(f"x-codex-{name}-reset-after-seconds"), now
            )
        else:
            continue
        number = _number(value)
        if number is not None:
            found.append((name, number / unit, until))
    return found


def _moment(text: str | None) -> datetime | None:
    """Read seconds since 1970, or RFC 3339."""
    number = _number(text)
    try:
        if number is not None:
            return datetime.fromtimestamp(number, UTC)
        moment = None if text is None else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _later(text: str | None, now: datetime) -> datetime | None:
    number = _number(text)
    return None if number is None else now + timedelta(seconds=number)


def _number(text: str | None) -> float | None:
    """Return a number of at least 0; None for anything else."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e11 else None
