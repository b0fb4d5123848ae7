"""The EventLog in memory: for tests, and the reference for what the contract suite asks."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from shared.contracts.envelope import encode_event
from shared.kernel.errors import Conflict
from shared.log.messages import check_append, matches, read_message, stream_of, written_before
from shared.log.port import BUCKETS, STREAMS, Append, Entry, Position, Recorded


@dataclass
class _Stream:
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)
    messages: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    last: dict[str, int] = field(default_factory=dict[str, int])
    seen: dict[str, int] = field(default_factory=dict[str, int])


class MemoryBucket:
    """A bucket in memory."""

    def __init__(self) -> None:
        self._revision = 0
        self._values: dict[str, Entry] = {}
        self._changes: list[Entry] = []
        self._woken = asyncio.Condition()

    async def get(self, key: str) -> Entry | None:
        """Return the value of ``key``."""
        return self._values.get(key)

    async def put(self, key: str, value: bytes, *, expected: int | None = None) -> int:
        """Store by compare-and-set."""
        current = self._values.get(key)
        if expected is not None and expected != (current.revision if current else 0):
            raise Conflict(key, expected)
        self._revision += 1
        entry = Entry(key, value, self._revision)
        self._values[key] = entry
        await self._announce(entry)
        return self._revision

    async def purge(self, key: str) -> None:
        """Remove a key."""
        if self._values.pop(key, None) is not None:
            self._revision += 1
            await self._announce(Entry(key, None, self._revision))

    async def entries(self) -> list[Entry]:
        """Return everything that is there now."""
        return list(self._values.values())

    async def watch(self) -> AsyncGenerator[Entry | None, None]:
        """Yield what is there, None, then every change."""
        at = len(self._changes)
        for entry in list(self._values.values()):
            yield entry
        yield None
        while True:
            async with self._woken:
                while len(self._changes) <= at:
                    await self._woken.wait()
            while at < len(self._changes):
                at += 1
                yield self._changes[at - 1]

    async def _announce(self, entry: Entry) -> None:
        self._changes.append(entry)
        async with self._woken:
            self._woken.notify_all()


class MemoryLog:
    """All streams and buckets of one LocalRouter in memory."""

    def __init__(self) -> None:
        self._streams = {name: _Stream() for name in STREAMS}
        self._buckets = {name: MemoryBucket() for name in BUCKETS}
        self._woken = asyncio.Condition()

    async def append(self, *writes: Append) -> list[int]:
        """Write all or nothing. An append that was written before (the same event ids) succeeds again."""
        check_append(writes)
        stream = self._streams[stream_of(writes[0].subject)]
        for write in writes:
            known = any(item.id in stream.seen for item in write.events)
            expected = write.expected
            if known or expected not in (None, stream.last.get(write.subject, 0)):
                ends = await written_before(self, writes)
                if ends is None:
                    raise Conflict(write.subject, expected or 0)
                return ends
        sequences: list[int] = []
        for write in writes:
            for item in write.events:
                stream.seen[item.id] = _store(stream, write.subject, encode_event(item))
            sequences.append(stream.last[write.subject])
        await self._announce()
        return sequences

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        """Store one message once."""
        stream = self._streams[stream_of(subject)]
        known = stream.seen.get(message_id)
        if known is not None:
            return known
        stream.seen[message_id] = sequence = _store(stream, subject, payload)
        await self._announce()
        return sequence

    async def read(self, stream: str, subject: str = "", *, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """Yield what is there."""
        messages = self._streams[stream].messages
        for index in range(after, len(messages)):
            name, raw = messages[index]
            if matches(subject, name):
                yield read_message(stream, name, index + 1, raw)

    async def follow(self, stream: str, subject: str = "", *, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """Yield everything after ``after``, for ever."""
        messages = self._streams[stream].messages
        at = after
        while True:
            async with self._woken:
                while len(messages) <= at:
                    await self._woken.wait()
            while at < len(messages):
                name, raw = messages[at]
                at += 1
                if matches(subject, name):
                    yield read_message(stream, name, at, raw)

    async def position(self, stream: str) -> Position:
        """Return where a stream stands."""
        found = self._streams[stream]
        return Position(found.identity, len(found.messages))

    def bucket(self, name: str) -> MemoryBucket:
        """Return a bucket."""
        return self._buckets[name]

    def connected(self) -> bool:
        """Memory is always there."""
        return True

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _announce(self) -> None:
        async with self._woken:
            self._woken.notify_all()


def _store(stream: _Stream, subject: str, raw: bytes) -> int:
    stream.messages.append((subject, raw))
    stream.last[subject] = len(stream.messages)
    return len(stream.messages)
