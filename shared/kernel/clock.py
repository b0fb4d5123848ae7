"""Time as a port: the core receives it, the runtime supplies it."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Wall time for what is recorded, monotonic time for what is measured."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never jumps."""
        ...


def rfc3339(moment: datetime) -> str:
    """Return ``moment`` as RFC 3339 in UTC with milliseconds, the form in which times travel."""
    since = moment - _EPOCH
    return f"{_second(since.days, since.seconds)}.{since.microseconds // 1_000:03d}Z"


@lru_cache(maxsize=64)
def _second(days: int, seconds: int) -> str:
    """Return a second, counted from the epoch, without its offset: many a request has the same."""
    return (_EPOCH + timedelta(days, seconds)).isoformat()[:19]


def parse_rfc3339(text: str) -> datetime:
    """Read an RFC 3339 time; raises ValueError when it is none or has no offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"a time needs an offset or Z: {text!r}")
    return moment.astimezone(UTC)
