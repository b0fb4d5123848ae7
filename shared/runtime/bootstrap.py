"""Makes the streams and buckets of an empty log: ``python -m shared.runtime.bootstrap``, once, before the services."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from shared.kernel.errors import LocalRouterError, LogUnavailable, StartRefused
from shared.log.nats_connection import Connection
from shared.log.streams import bootstrap
from shared.runtime.nats_users import BOOTSTRAP, SYSTEM

USAGE_SHARE: Final = 0.8
"""Of the store: what usage may take."""
_PREFIX: Final = "LOCALROUTER_NATS__"


async def bootstrap_log(
    url: str, *, user: str | None, password: str | None, replicas: int = 1, usage_max_bytes: int = -1
) -> None:
    """Make every stream where the store is empty, else check that they are there.

    Raises StartRefused (user refused), LogUnavailable, LogDamaged.
    """
    connection = Connection(url, user=user, password=password, name="localrouter bootstrap")
    await connection.open(30.0)
    try:
        await bootstrap(connection, replicas=replicas, usage_max_bytes=usage_max_bytes)
    finally:
        await connection.close()


async def syncs_every_write(url: str, *, user: str, password: str | None) -> bool | None:
    """Whether a server syncs each write before it acknowledges it; None: it does not say.

    ``user`` belongs to the system account; raises StartRefused where it is refused.
    """
    connection = Connection(url, user=user, password=password, name="localrouter assertion")
    try:
        await connection.open()
        answer = await connection.request("$SYS.REQ.SERVER.PING.VARZ")
        return msgspec.json.decode(answer.data)["data"]["jetstream"]["config"].get("sync_always", False)
    except (LogUnavailable, KeyError, msgspec.DecodeError):
        return None
    finally:
        await connection.close()


async def _bootstrap(environ: Mapping[str, str]) -> None:
    url = environ.get(f"{_PREFIX}URL", "nats://127.0.0.1:4222")
    user, password = environ.get(f"{_PREFIX}USER", BOOTSTRAP), _password(environ, "PASSWORD")
    await bootstrap_log(url, user=user, password=password, replicas=_replicas(environ), usage_max_bytes=_most(environ))
    system = _password(environ, "SYSTEM_PASSWORD")
    if system is not None and await syncs_every_write(url, user=SYSTEM, password=system) is False:
        raise StartRefused("NATS runs without sync_interval: always, a power cut would lose changes")


def main(environ: Mapping[str, str]) -> int:
    """Run with ``LOCALROUTER_NATS__URL``, ``…USER``, ``…PASSWORD`` or ``…PASSWORD_FILE``, ``…REPLICAS``.

    With ``…SYSTEM_PASSWORD`` (or ``_FILE``) the server is asked whether it syncs every write; ``…MAX_STORE_BYTES`` is
    what its store may hold. Returns the exit code.
    """
    try:
        asyncio.run(_bootstrap(environ))
    except LocalRouterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _replicas(environ: Mapping[str, str]) -> int:
    text = environ.get(f"{_PREFIX}REPLICAS", "1")
    if text not in {"1", "3", "5"}:
        raise StartRefused(f"{_PREFIX}REPLICAS must be 1, 3 or 5, not {text!r}")
    return int(text)


def _most(environ: Mapping[str, str]) -> int:
    """Return what usage may take of the store: the rest is kept free for configuration, whatever the traffic."""
    store = environ.get(f"{_PREFIX}MAX_STORE_BYTES")
    return -1 if store is None else int(int(store) * USAGE_SHARE)


def _password(environ: Mapping[str, str], name: str) -> str | None:
    path = environ.get(f"{_PREFIX}{name}_FILE")
    if path is None:
        return environ.get(f"{_PREFIX}{name}")
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise StartRefused(f"the password in {path} cannot be read: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main(os.environ))
