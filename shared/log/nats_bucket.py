"""A bucket of latest state on a NATS key-value stream: one value per key, compare-and-set by stream sequence.

https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-8.md
"""

import contextlib
from collections.abc import AsyncGenerator
from typing import Final

from shared.kernel.errors import Conflict, LogUnavailable
from shared.log.nats_connection import ApiError, Connection, checked
from shared.log.nats_reading import Stored, pages, tail
from shared.log.port import Entry

_CONFLICTS: Final = frozenset({10071, 10164})
_OPERATION: Final = "KV-Operation"
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"


class NatsBucket:
    """Latest state by key."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."

    async def get(self, key: str) -> Entry | None:
        """Return the value of ``key``, or None; raises LogUnavailable."""
        entry = await self._last(key)
        return entry if entry is not None and entry.value is not None else None

    async def put(self, key: str, value: bytes, *, expected: int | None = None) -> int:
        """Store by compare-and-set; raises Conflict, OutcomeUnknown, LogUnavailable."""
        try:
            return await self._publish(key, value, expected)
        except Conflict:
            if expected != 0:
                raise
        # A key that was removed has a marker as its last message; it counts as absent.
        marker = await self._last(key)
        if marker is None or marker.value is not None:
            raise Conflict(key, 0)
        return await self._publish(key, value, marker.revision)

    async def purge(self, key: str) -> None:
        """Remove a key and every older value of it; a marker for watchers stays."""
        if await self.get(key) is None:
            return
        headers = {_OPERATION: "PURGE", "Nats-Rollup": "sub"}
        await self._request(key, b"", headers)

    async def entries(self) -> list[Entry]:
        """Return everything that is there now."""
        latest: dict[str, Entry] = {}
        async for message in pages(self._connection, self._stream, f"{self._prefix}>", 0):
            entry = self._entry(message)
            latest[entry.key] = entry
        return [entry for entry in latest.values() if entry.value is not None]

    async def watch(self) -> AsyncGenerator[Entry | None, None]:
        """Yield what is there, None, then every change; raises LogDamaged when the bucket was made anew."""
        last = 0
        seen: set[str] = set()
        async for message in pages(self._connection, self._stream, f"{self._prefix}>", 0):
            last = message.sequence
            entry = self._entry(message)
            if entry.value is not None or entry.key in seen:
                seen.add(entry.key)
                yield entry
        yield None
        async with contextlib.aclosing(tail(self._connection, self._stream, f"{self._prefix}>", last)) as messages:
            async for message in messages:
                yield self._entry(message)

    async def _last(self, key: str) -> Entry | None:
        # At most one message per subject is kept, so the first from the beginning is the last.
        async for message in pages(self._connection, self._stream, f"{self._prefix}{key}", 0):
            return self._entry(message)
        return None

    async def _publish(self, key: str, value: bytes, expected: int | None) -> int:
        return await self._request(key, value, {} if expected is None else {_EXPECTED: str(expected)})

    async def _request(self, key: str, value: bytes, headers: dict[str, str]) -> int:
        answer = await self._connection.request(f"{self._prefix}{key}", value, headers=headers)
        try:
            return checked(answer, key)["seq"]
        except ApiError as error:
            if error.code in _CONFLICTS:
                raise Conflict(key, int(headers[_EXPECTED])) from error
            raise LogUnavailable(f"the bucket took nothing: {error}") from error

    def _entry(self, message: Stored) -> Entry:
        removed = _OPERATION in message.headers
        key = message.subject.removeprefix(self._prefix)
        return Entry(key, None if removed else message.payload, message.sequence)
