"""The EventLog on NATS JetStream."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final

from shared.contracts.envelope import Event, encode_event
from shared.kernel.errors import Conflict, LogUnavailable, OutcomeUnknown
from shared.log.messages import check_append, read_message, written_before
from shared.log.nats_bucket import NatsBucket
from shared.log.nats_connection import TIMEOUT_S, ApiError, Connection, checked
from shared.log.nats_reading import pages, stream_state, tail
from shared.log.port import BUCKETS, STREAMS, Append, Position, Recorded

_BATCHES_AT_ONCE: Final = 16
"""A server takes 50 open batches per stream."""

_CONFLICTS: Final = frozenset({10071, 10164, 10201})
"""Wrong last sequence, its constant form, and a message id in the batch that is stored already."""

_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_MESSAGE_ID: Final = "Nats-Msg-Id"


class NatsLog:
    """All streams and buckets of one LocalRouter on a NATS server or cluster."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._batches = asyncio.Semaphore(_BATCHES_AT_ONCE)

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        name: str = "localrouter",
        limit_s: float = TIMEOUT_S,
        answer_s: float = TIMEOUT_S,
    ) -> "NatsLog":
        """Return a connected log; ``url`` may name several servers, separated by commas.

        Reads and writes take at most ``answer_s`` each, and a second more while the connection is coming back. Raises
        StartRefused for a refused user, LogUnavailable when nobody answers within ``limit_s``.
        """
        connection = Connection(url, user=user, password=password, name=name, answer_s=answer_s)
        await connection.open(limit_s)
        return cls(connection)

    @classmethod
    def seeking(cls, url: str, *, user: str | None, password: str | None, name: str) -> "NatsLog":
        """Return a log that is not connected yet: until somebody answers, everything raises LogUnavailable."""
        connection = Connection(url, user=user, password=password, name=name)
        connection.seek()
        return cls(connection)

    async def append(self, *writes: Append) -> list[int]:
        """Write all or nothing. An append that was written before (the same event ids) succeeds again.

        Raises ValueError for more than 1,000 events or for several streams, Conflict, OutcomeUnknown, LogUnavailable.
        """
        check_append(writes)
        try:
            last = await (self._one(writes[0]) if _is_single(writes) else self._batch(writes))
        except ApiError as error:
            if error.code not in _CONFLICTS:
                raise LogUnavailable(f"the log took nothing: {error}") from error
            return await self._read_back(writes, error)
        return _ends(writes, last)

    async def _one(self, write: Append) -> int:
        headers = _headers(write.events[0], write.expected)
        answer = await self.connection.request(write.subject, encode_event(write.events[0]), headers=headers)
        return checked(answer, write.subject)["seq"]

    async def _batch(self, writes: tuple[Append, ...]) -> int:
        """Publish as one atomic batch, of which only the last message is answered.

        https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md
        """
        messages = [
            (write.subject, encode_event(item), _headers(item, write.expected if index == 0 else None))
            for write in writes
            for index, item in enumerate(write.events)
        ]
        batch = writes[0].events[0].id
        async with self._batches:
            await self.connection.ready()
            for number, (subject, payload, headers) in enumerate(messages, 1):
                headers |= {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
                if number < len(messages):
                    await self.connection.send(subject, payload, headers=headers)
            subject, payload, headers = messages[-1]
            answer = await self.connection.request(subject, payload, headers=headers | {"Nats-Batch-Commit": "1"})
            return checked(answer, subject)["seq"]

    async def _read_back(self, writes: tuple[Append, ...], error: ApiError) -> list[int]:
        """A conflict may be with an earlier try of this append: the server checks the sequence before the id."""
        try:
            ends = await written_before(self, writes)
        except LogUnavailable as unavailable:
            raise OutcomeUnknown(f"a conflict that could not be read back: {unavailable}") from error
        if ends is None:
            raise Conflict(writes[0].subject, writes[0].expected or 0) from error
        return ends

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        """Store one message once per ``message_id`` within the stream's dedupe window.

        Raises OutcomeUnknown, LogUnavailable.
        """
        answer = await self.connection.request(subject, payload, headers={_MESSAGE_ID: message_id})
        try:
            return checked(answer, subject)["seq"]
        except ApiError as error:
            raise LogUnavailable(f"the log took nothing: {error}") from error

    async def read(self, stream: str, subject: str = "", *, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """Yield what is there; raises LogUnavailable."""
        async for message in pages(self.connection, stream, subject or STREAMS[stream], after):
            yield read_message(stream, message.subject, message.sequence, message.payload)

    async def follow(self, stream: str, subject: str = "", *, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """Yield everything after ``after``, for ever; raises LogDamaged when the stream is not the one it was."""
        async with contextlib.aclosing(tail(self.connection, stream, subject or STREAMS[stream], after)) as messages:
            async for message in messages:
                yield read_message(stream, message.subject, message.sequence, message.payload)

    async def position(self, stream: str) -> Position:
        """Return where a stream stands; raises LogDamaged when there is none, LogUnavailable."""
        state = await stream_state(self.connection, stream)
        return Position(state.identity, state.last)

    def bucket(self, name: str) -> NatsBucket:
        """Return a bucket."""
        if name not in BUCKETS:
            raise ValueError(f"no bucket {name}")
        return NatsBucket(self.connection, name)

    def connected(self) -> bool:
        """Whether the server answers at the moment."""
        return self.connection.connected()

    async def close(self) -> None:
        """Let go of the connection."""
        await self.connection.close()


def _is_single(writes: tuple[Append, ...]) -> bool:
    return len(writes) == 1 and len(writes[0].events) == 1


def _headers(item: Event, expected: int | None) -> dict[str, str]:
    headers = {_MESSAGE_ID: item.id}
    if expected is not None:
        headers[_EXPECTED] = str(expected)
    return headers


def _ends(writes: tuple[Append, ...], last: int) -> list[int]:
    """Return the last sequence of each write of an append whose last message got ``last``: they follow each other."""
    ends: list[int] = []
    for write in reversed(writes):
        ends.append(last)
        last -= len(write.events)
    return ends[::-1]
