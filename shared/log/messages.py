"""What every log does alike: read a stored message, match subjects, check an append, find an earlier try of it."""

from collections.abc import Sequence
from typing import Final

from shared.contracts.envelope import decode_event
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_USAGE, STREAMS, Append, EventLog, Recorded

MAX_BATCH: Final = 1_000
"""Events in one atomic append: what a NATS server takes (error 10199 above it)."""


def read_message(stream: str, subject: str, sequence: int, raw: bytes) -> Recorded:
    """Return a stored message with its event, or with why it has none; those of ``LR_USAGE`` are no events."""
    if stream == LR_USAGE:
        return Recorded(stream, subject, sequence, raw)
    try:
        return Recorded(stream, subject, sequence, raw, event=decode_event(raw))
    except ContractBroken as error:
        return Recorded(stream, subject, sequence, raw, broken=error)


def matches(pattern: str, subject: str) -> bool:
    """Whether ``subject`` falls under a NATS subject pattern (``*`` one token, ``>`` the rest; empty: all)."""
    if not pattern:
        return True
    wanted, given = pattern.split("."), subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return len(given) > index
        if index >= len(given) or part not in ("*", given[index]):
            return False
    return len(wanted) == len(given)


def stream_of(subject: str) -> str:
    """Return the stream that keeps a subject; raises ValueError when none does."""
    for name, pattern in STREAMS.items():
        if matches(pattern, subject):
            return name
    raise ValueError(f"no stream keeps {subject}")


def check_append(writes: Sequence[Append]) -> None:
    """Raise ValueError for an append that no log can take in one step."""
    count = sum(len(write.events) for write in writes)
    if not writes or not all(write.events for write in writes):
        raise ValueError("an append needs an event for each of its subjects")
    if count > MAX_BATCH:
        raise ValueError(f"{count} events in one append, at most {MAX_BATCH} are allowed")
    if len({write.subject for write in writes}) != len(writes):
        raise ValueError("a subject appears twice in one append")
    if len({stream_of(write.subject) for write in writes}) != 1:
        raise ValueError("one append goes to one stream")


async def written_before(log: EventLog, writes: Sequence[Append]) -> list[int] | None:
    """Return the last sequence of each write when these very events are in the log already, else None.

    That is so when an earlier try of the append was thought lost and was not. Raises LogUnavailable.
    """
    ends: list[int] = []
    for write in writes:
        wanted = {item.id for item in write.events}
        end = 0
        async for recorded in log.read(stream_of(write.subject), write.subject, after=write.expected or 0):
            if recorded.event is not None and recorded.event.id in wanted:
                wanted.discard(recorded.event.id)
                end = recorded.sequence
        if wanted:
            return None
        ends.append(end)
    return ends
