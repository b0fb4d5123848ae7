"""What was set aside of the usage log, and what became of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of the usage log that the ledger could not take."""

    id: int
    """Its place among all that was ever set aside."""
    reason: str
    subject: str
    sequence: int
    """Its place in the usage log."""
    size: int
    """Bytes of the whole message."""
    raw: bytes
    """The message, or its beginning."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A letter that was tried again."""

    records: int = 0
    """What came into the ledger by it."""
    reason: str | None = None
    """Why the ledger still does not take it; None: it did."""
