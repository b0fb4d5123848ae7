"""How far a rebuild of the ledger is."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """One rebuild, or none yet."""

    state: Literal["idle", "running", "done", "failed"] = "idle"
    sequence: int = 0
    """The last message of the log that is in the new ledger."""
    end: int = 0
    """The last message that was in the ledger in use when it was looked at."""
    records: int = 0
    took_s: float | None = None
    error: str | None = None
