"""What every log does to a stored message: read its event, and match its subject against a pattern."""

from shared.contracts.envelope import decode_event
from shared.kernel.errors import ContractBroken
from shared.log.port import Recorded


def read_message(stream: str, subject: str, sequence: int, raw: bytes) -> Recorded:
    """Return a stored message with its event, or with why it has none."""
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
