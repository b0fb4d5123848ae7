"""Dead letters: messages that a consumer could not apply, kept with their bytes, their origin and the reason."""

from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from shared.kernel.errors import ContractBroken
from shared.log.port import LR_DEAD, EventLog, Recorded

MAX_RAW: Final = 512 * 1024
"""Bytes that are kept of a message; a longer one is cut, its origin still holds the whole."""

_SEPARATOR: Final = b"\n"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One message that was given up."""

    consumer: str
    reason: str
    stream: str
    subject: str
    sequence: int
    size: int
    """Bytes of the message before it was cut."""
    raw: bytes = b""


class DeadLetters:
    """Writes and lists ``lr.dead.<consumer>``."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def put(self, consumer: str, recorded: Recorded, reason: str) -> int:
        """Keep a message; the same one is kept once. Returns its sequence; raises OutcomeUnknown, LogUnavailable."""
        letter = DeadLetter(
            consumer=consumer,
            reason=reason,
            stream=recorded.stream,
            subject=recorded.subject,
            sequence=recorded.sequence,
            size=len(recorded.raw),
        )
        return await self._log.publish(
            f"lr.dead.{consumer}",
            msgspec.json.encode(letter) + _SEPARATOR + recorded.raw[:MAX_RAW],
            message_id=f"{consumer}:{recorded.stream}:{recorded.sequence}",
        )

    async def list(self, consumer: str = "") -> AsyncGenerator[DeadLetter, None]:
        """Yield the letters of one consumer, or of all; raises ContractBroken for what is none."""
        async for _, letter in self.numbered(consumer):
            yield letter

    async def numbered(self, consumer: str = "", *, after: int = 0) -> AsyncGenerator[tuple[int, DeadLetter], None]:
        """Yield the letters after ``after``, each with its own place in ``LR_DEAD``."""
        async for recorded in self._log.read(LR_DEAD, f"lr.dead.{consumer}" if consumer else "", after=after):
            yield recorded.sequence, _read(recorded)


def _read(recorded: Recorded) -> DeadLetter:
    head, _, raw = recorded.raw.partition(_SEPARATOR)
    try:
        letter = msgspec.json.decode(head, type=DeadLetter)
    except msgspec.DecodeError as error:
        raise ContractBroken(f"{recorded.subject} at {recorded.sequence} is no dead letter: {error}") from error
    return msgspec.structs.replace(letter, raw=raw)
