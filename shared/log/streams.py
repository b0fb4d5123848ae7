"""What streams and buckets there are on NATS, and the one step that makes them: once, in an empty store."""

import asyncio
import secrets
import time
from typing import Any, Final

import structlog

from shared.kernel.errors import LogDamaged
from shared.log.nats_connection import ApiError, Connection
from shared.log.nats_reading import asked, stream_state
from shared.log.port import BUCKETS, LR_CONFIG, LR_USAGE, RESTORING, STREAMS

log = structlog.get_logger("log")

_NAME_IN_USE: Final = 10058
_WAIT_S: Final = 5.0


def definitions(*, replicas: int = 1, usage_max_bytes: int = -1) -> dict[str, dict[str, Any]]:
    """Return the configuration of every stream by name, ``LR_CONFIG`` last: where it exists, all exist.

    https://docs.nats.io/nats-concepts/jetstream/streams#configuration
    """
    common: dict[str, Any] = {
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "allow_direct": True,
        "num_replicas": replicas,
        "duplicate_window": 120 * 10**9,
    }
    streams = {f"KV_{name}": common | _bucket(name) for name in BUCKETS}
    streams |= {name: common | {"name": name, "subjects": [STREAMS[name]]} for name in STREAMS if name != LR_CONFIG}
    streams[LR_USAGE] |= {"duplicate_window": 600 * 10**9, "max_bytes": usage_max_bytes}
    streams[LR_CONFIG] = common | {
        "name": LR_CONFIG,
        "subjects": [STREAMS[LR_CONFIG]],
        "deny_delete": True,
        "deny_purge": True,
        "allow_atomic": True,
    }
    return streams


def _bucket(name: str) -> dict[str, Any]:
    return {
        "name": f"KV_{name}",
        "subjects": [f"$KV.{name}.>"],
        "max_msgs_per_subject": 1,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
    }


async def bootstrap(
    connection: Connection, *, replicas: int = 1, usage_max_bytes: int = -1, wait_s: float = _WAIT_S
) -> None:
    """Make every stream in an empty store, and check that they are all there in one that is not.

    A server that lost a stream, or that cannot read its files, looks healthy; making the stream anew would erase
    them. So a missing stream is LogDamaged, unless another bootstrapper is just making it or was cut short before
    anything was written. Raises also LogUnavailable.
    """
    wanted = definitions(replicas=replicas, usage_max_bytes=usage_max_bytes)
    there = await _names(connection)
    if not there:
        await _create(connection, wanted)
    elif missing := await missing_streams(connection, wait_s):
        await _require_unused(connection, there, missing)
        log.warning("the first start was cut short, finishing it", missing=missing)
        await _create(connection, {name: wanted[name] for name in wanted if name in missing})


async def verify(connection: Connection, *, wait_s: float = _WAIT_S) -> None:
    """Wait until every stream is there; raises LogDamaged when one is missing after ``wait_s``, LogUnavailable."""
    if missing := await missing_streams(connection, wait_s):
        raise LogDamaged(f"the log lacks {', '.join(missing)}: it was not set up, or not by this version")


async def missing_streams(connection: Connection, wait_s: float) -> list[str]:
    """Return what is still missing after ``wait_s``, in the order in which it is made."""
    deadline = time.monotonic() + wait_s
    while True:
        there = await _names(connection)
        missing = [name for name in definitions() if name not in there]
        if not missing or time.monotonic() >= deadline:
            return missing
        await asyncio.sleep(0.05)


async def _require_unused(connection: Connection, there: set[str], missing: list[str]) -> None:
    text = f"the store is not empty, but {', '.join(missing)} is missing: restore a backup, or start in an empty folder"
    if LR_CONFIG in there:
        raise LogDamaged(text)
    for name in there:
        if (await stream_state(connection, name)).last > 0:
            raise LogDamaged(text)


async def _create(connection: Connection, wanted: dict[str, dict[str, Any]]) -> None:
    for name, config in wanted.items():
        body = config | {"metadata": {"id": secrets.token_hex(8)}}
        try:
            await connection.api(f"STREAM.CREATE.{name}", body)
        except ApiError as error:
            if error.code != _NAME_IN_USE:
                raise LogDamaged(f"stream {name} cannot be made: {error}") from error
            # Another bootstrapper was first; its id differs from ours.


async def _names(connection: Connection) -> set[str]:
    names = await all_names(connection)
    if RESTORING in names:
        raise LogDamaged("this log is being restored, or a restore of it was cut short: let it end, or run it again")
    return names & set(definitions())


async def all_names(connection: Connection) -> set[str]:
    """Return the name of every stream there is, buckets' streams and others' included; raises LogUnavailable."""
    return set((await asked(connection, "STREAM.NAMES")).get("streams") or [])
