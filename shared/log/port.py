"""The EventLog port: append with an expected version, read, follow, publish usage, buckets of latest state."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from shared.contracts.envelope import Event
from shared.kernel.errors import ContractBroken

LR_CONFIG: Final = "LR_CONFIG"
LR_USAGE: Final = "LR_USAGE"
LR_FACTS: Final = "LR_FACTS"
LR_HEALTH: Final = "LR_HEALTH"
LR_DEAD: Final = "LR_DEAD"

STREAMS: Final[dict[str, str]] = {
    LR_CONFIG: "lr.config.>",
    LR_USAGE: "lr.usage.>",
    LR_FACTS: "lr.facts.>",
    LR_HEALTH: "lr.health.>",
    LR_DEAD: "lr.dead.>",
}
"""Every stream and the subjects it keeps."""
RESTORING: Final = "LR_RESTORING"
"""A stream that is there while the others are made from a backup, and holds nothing."""
SPEED_SUBJECT: Final = "lr.facts.speed.traffic"
"""Where the measurements of the whole traffic stand in ``LR_FACTS``."""

PLANS: Final = "lr_plans"
CATALOG: Final = "lr_catalog"
LEASES: Final = "lr_leases"
SECRETS: Final = "lr_secrets"
BUCKETS: Final = (PLANS, CATALOG, LEASES, SECRETS)


@dataclass(frozen=True, slots=True)
class Append:
    """Events for one subject, which must be at stream sequence ``expected`` (0: it must hold none; None: any)."""

    subject: str
    events: Sequence[Event]
    expected: int | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One stored message. ``event`` is None and ``broken`` says why where the bytes do not read; those of ``LR_USAGE``
    are envelopes of records, not events, and have neither."""

    stream: str
    subject: str
    sequence: int
    raw: bytes
    event: Event | None = None
    broken: ContractBroken | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a stream stands: ``identity`` changes when the stream was made anew."""

    identity: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Entry:
    """The latest value of a key in a bucket; ``value`` is None where the key was deleted."""

    key: str
    value: bytes | None
    revision: int


class Bucket(Protocol):
    """Latest state by key, with compare-and-set."""

    async def get(self, key: str) -> Entry | None:
        """Return the value of ``key``, or None where there is none."""
        ...

    async def put(self, key: str, value: bytes, *, expected: int | None = None) -> int:
        """Store and return the revision; with ``expected`` (0: must not exist) raises Conflict."""
        ...

    async def purge(self, key: str) -> None:
        """Remove a key and every older value of it."""
        ...

    async def entries(self) -> list[Entry]:
        """Return everything that is there now."""
        ...

    def watch(self) -> AsyncGenerator[Entry | None, None]:
        """Yield everything there is, then None once, then every change, surviving reconnects."""
        ...


class EventLog(Protocol):
    """The one place where facts are kept."""

    async def append(self, *writes: Append) -> list[int]:
        """Write all events of all ``writes`` in one atomic step and return the last sequence of each write.

        Raises Conflict (somebody wrote first), OutcomeUnknown (no answer in time), LogUnavailable. At most 1,000
        events; a subject appears in one write only.
        """
        ...

    def read(self, stream: str, subject: str = "", *, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """Yield what ``stream`` holds at the time of the call on ``subject`` (NATS wildcards; empty: all)."""
        ...

    def follow(self, stream: str, subject: str = "", *, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """Yield everything after sequence ``after`` in order, for ever, surviving reconnects and restarts."""
        ...

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        """Store one message without expectation (usage, facts, health); a repeat of ``message_id`` within the
        dedupe window is stored once. Returns its sequence; raises OutcomeUnknown, LogUnavailable."""
        ...

    async def position(self, stream: str) -> Position:
        """Return the identity and last sequence of a stream."""
        ...

    def bucket(self, name: str) -> Bucket:
        """Return one of ``BUCKETS``."""
        ...

    def connected(self) -> bool:
        """Whether the log answers at the moment."""
        ...

    async def close(self) -> None:
        """Flush and let go of every connection."""
        ...
