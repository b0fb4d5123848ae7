"""The system's clock and identifiers."""

import os
import time
from datetime import UTC, datetime

from shared.kernel.ids import uuid7


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()


SYSTEM_CLOCK = SystemClock()


def new_id() -> str:
    """Return a fresh UUIDv7."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))
