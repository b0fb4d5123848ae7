"""Reading streams from NATS: what is there now in pages, and what comes in order, without gaps or repeats."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from shared.kernel.errors import LogDamaged, LogUnavailable, OutcomeUnknown
from shared.log.nats_connection import ApiError, Connection, ConnectionLost, Msg, checked, status_of

log = structlog.get_logger("log")

_PAGE: Final = 256
_PAGE_BYTES: Final = 16 * 1024 * 1024
"""More than the largest message, less than what a server buffers for a slow client (64 MiB)."""
_HEARTBEAT_S: Final = 5
_SILENCE_S: Final = 2 * _HEARTBEAT_S + 1
_PULL_S: Final = 60
_PULL_ENDS: Final = frozenset({"404", "408"})
"""A pull that is over: no messages, expired. https://github.com/nats-io/nats-architecture-and-design (ADR-13)"""
_BATCH_ENDS: Final = frozenset({"Message Size Exceeds MaxBytes", "Batch Completed"})
_PENDING: Final = "Nats-Num-Pending"


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as the stream holds it."""

    subject: str
    sequence: int
    payload: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream says of itself."""

    identity: str
    last: int
    messages: int


class _Interrupted(Exception):
    """A consumer ended or skipped a message: begin again after the last one that was delivered."""


async def stream_state(connection: Connection, stream: str) -> StreamState:
    """Return where a stream stands; raises LogDamaged when there is none, LogUnavailable when nobody answers."""
    info = await asked(connection, f"STREAM.INFO.{stream}")
    metadata: dict[str, str] = info["config"].get("metadata") or {}
    state: dict[str, Any] = info["state"]
    return StreamState(f"{info['created']}/{metadata.get('id', '')}", state["last_seq"], state["messages"])


async def asked(connection: Connection, subject: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask JetStream's API for something that changes nothing; no answer is no log."""
    try:
        return await connection.api(subject, body)
    except OutcomeUnknown as error:
        raise LogUnavailable(str(error)) from error
    except ApiError as error:
        raise LogUnavailable(f"JetStream does not answer {subject}: {error}") from error


async def pages(connection: Connection, stream: str, subject: str, after: int) -> AsyncGenerator[Stored, None]:
    """Yield what ``stream`` holds on ``subject`` after a sequence, as of the first page.

    Pages are batched direct gets: one round trip for a short aggregate, and nothing is created on the server.
    https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md
    """
    start = after + 1
    left: int | None = None
    while left is None or left > 0:
        page, pending = await _page(connection, stream, subject, start)
        if left is None:
            left = len(page) + pending
        if not page:
            return
        for message in page[:left]:
            yield message
        left -= len(page)
        start = page[-1].sequence + 1


async def _page(connection: Connection, stream: str, subject: str, start: int) -> tuple[list[Stored], int]:
    request = msgspec.json.encode(
        {"seq": start, "next_by_subj": subject, "batch": _PAGE, "max_bytes": _PAGE_BYTES},
    )
    api = f"$JS.API.DIRECT.GET.{stream}"
    await connection.ready()
    page: list[Stored] = []
    async with connection.inbox(api) as inbox:
        try:
            await connection.send(api, request, reply=inbox.subject)
            while True:
                async with asyncio.timeout(connection.answer_s):
                    message = await inbox.next()
                status = status_of(message)
                headers = message.headers or {}
                if status is None:
                    page.append(Stored(headers["Nats-Subject"], int(headers["Nats-Sequence"]), message.data, headers))
                elif status == "204":
                    return page, int(headers[_PENDING])
                elif status == "404":
                    return page, 0
                else:
                    raise LogUnavailable(f"{stream} does not read: {status} {headers.get('Description', '')}")
        except TimeoutError as error:
            raise LogUnavailable(f"{stream} did not answer in {connection.answer_s} s") from error
        except ConnectionLost as error:
            raise LogUnavailable(f"the connection was lost while reading {stream}") from error


async def tail(connection: Connection, stream: str, subject: str, after: int) -> AsyncGenerator[Stored, None]:
    """Yield every message of ``stream`` on ``subject`` after a sequence, for ever, in order, each once.

    Raises LogDamaged when the stream was made anew or ends before what was delivered.
    """
    identity: str | None = None
    pause = 0.05
    while True:
        try:
            state = await stream_state(connection, stream)
            _same(stream, identity, state, after)
            identity = state.identity
            async with contextlib.aclosing(_consume(connection, stream, subject, after)) as messages:
                async for message in messages:
                    after = message.sequence
                    pause = 0.05
                    yield message
        except (LogUnavailable, OutcomeUnknown, ConnectionLost, _Interrupted) as error:
            log.debug("following again", stream=stream, after=after, cause=repr(error))
        await asyncio.sleep(pause)
        pause = min(pause * 2, 1.0)


def _same(stream: str, identity: str | None, state: StreamState, after: int) -> None:
    if identity is not None and identity != state.identity:
        raise LogDamaged(f"{stream} was made anew while it was followed")
    if state.last < after:
        raise LogDamaged(f"{stream} ends at {state.last}, but it was read up to {after}: an older store was restored")


async def _consume(connection: Connection, stream: str, subject: str, after: int) -> AsyncGenerator[Stored, None]:
    """Pull from an ephemeral consumer until it ends; it goes by itself when nobody asks it any more."""
    name = f"follow-{os.urandom(8).hex()}"
    config = {
        "name": name,
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": after + 1,
        "ack_policy": "none",
        "filter_subject": subject,
        "inactive_threshold": 30 * 10**9,
        "mem_storage": True,
        "num_replicas": 1,
    }
    create = f"$JS.API.CONSUMER.CREATE.{stream}.{name}.{subject}"
    answer = await connection.request(create, msgspec.json.encode({"stream_name": stream, "config": config}))
    try:
        checked(answer, stream)
    except ApiError as error:
        raise LogUnavailable(f"{stream} cannot be followed: {error}") from error
    pull = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"
    body = msgspec.json.encode(
        {
            "batch": _PAGE,
            "max_bytes": _PAGE_BYTES,
            "expires": _PULL_S * 10**9,
            "idle_heartbeat": _HEARTBEAT_S * 10**9,
        }
    )
    expected = 1
    async with connection.subscription(pull) as inbox:
        while True:
            await connection.send(pull, body, reply=inbox.subject)
            left = _PAGE
            while left > 0:
                try:
                    async with asyncio.timeout(_SILENCE_S):
                        message = await inbox.next()
                except TimeoutError as error:
                    raise _Interrupted("no heartbeat") from error
                status = status_of(message)
                if status is None:
                    stored, delivered = _delivered(message)
                    if delivered != expected:
                        raise _Interrupted(f"message {delivered} of {stream} came where {expected} was next")
                    expected += 1
                    left -= 1
                    yield stored
                elif status in _PULL_ENDS or (message.headers or {}).get("Description") in _BATCH_ENDS:
                    break
                elif status != "100":
                    raise _Interrupted(f"the consumer is gone: {message.headers}")


def _delivered(message: Msg) -> tuple[Stored, int]:
    """Read the reply subject ``$JS.ACK.….<stream sequence>.<consumer sequence>.<time>.<pending>``."""
    parts = message.reply.split(".")
    # The later form has domain and account hash in front, and a random token at the end.
    sequence, delivered = (parts[5], parts[6]) if len(parts) == 9 else (parts[7], parts[8])
    return Stored(message.subject, int(sequence), message.data, message.headers or {}), int(delivered)
