"""Whole streams in and out of JetStream, by its own snapshots: sequences and times come back as they were.

Republishing would number anew whatever lies behind a gap. A stream's time of creation does not come back, so it is
another stream to whoever remembers positions in it.
https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-1.md
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any, Final

import msgspec

from shared.kernel.errors import LogUnavailable
from shared.log.nats_connection import ApiError, Connection, ConnectionLost, status_of

CHUNK_BYTES: Final = 128 * 1024
_SILENT_S: Final = 30.0


async def snapshot(connection: Connection, stream: str) -> AsyncGenerator[bytes, None]:
    """Yield what the stream is (JSON: ``config`` and ``state``), then its messages in pieces.

    Each piece must be taken within seconds, or the server gives up. Raises LogUnavailable.
    """
    await connection.ready()
    subject = f"STREAM.SNAPSHOT.{stream}"
    async with connection.subscription(subject) as inbox:
        asked = {"deliver_subject": inbox.subject, "no_consumers": True, "chunk_size": CHUNK_BYTES}
        head = await _asked(connection, subject, asked)
        yield msgspec.json.encode({"config": head["config"], "state": head["state"]})
        while True:
            try:
                async with asyncio.timeout(_SILENT_S):
                    piece = await inbox.next()
            except (TimeoutError, ConnectionLost) as error:
                raise LogUnavailable(f"the snapshot of {stream} broke off") from error
            if not piece.data:
                status = status_of(piece)
                if status is not None and status != "204":
                    raise LogUnavailable(f"the snapshot of {stream} broke off ({status})")
                return
            yield piece.data
            if piece.reply:
                await connection.send(piece.reply, b"")


async def restore(connection: Connection, stream: str, head: bytes, pieces: AsyncIterable[bytes]) -> None:
    """Make a stream that is not there from what ``snapshot`` gave; raises LogUnavailable, OutcomeUnknown."""
    answer = await _asked(connection, f"STREAM.RESTORE.{stream}", msgspec.json.decode(head))
    async for piece in pieces:
        await connection.request(answer["deliver_subject"], piece)
    made = msgspec.json.decode((await connection.request(answer["deliver_subject"])).data)
    if "error" in made:
        raise LogUnavailable(f"{stream} is not restored: {made['error'].get('description')}")


async def _asked(connection: Connection, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        return await connection.api(subject, body)
    except ApiError as error:
        raise LogUnavailable(f"{subject}: {error}") from error
