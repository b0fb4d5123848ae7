"""Makes the streams and buckets of an empty log: ``python -m shared.runtime.bootstrap``, once, before the services."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from shared.kernel.errors import LocalRouterError, StartRefused
from shared.log.nats_connection import Connection
from shared.log.streams import bootstrap

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


def main(environ: Mapping[str, str]) -> int:
    """Run with ``LOCALROUTER_NATS__URL``, ``…USER``, ``…PASSWORD`` or ``…PASSWORD_FILE``, ``…REPLICAS``.

    Returns the exit code.
    """
    try:
        asyncio.run(
            bootstrap_log(
                environ.get(f"{_PREFIX}URL", "nats://127.0.0.1:4222"),
                user=environ.get(f"{_PREFIX}USER", "bootstrap"),
                password=_password(environ),
                replicas=_replicas(environ),
            )
        )
    except LocalRouterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _replicas(environ: Mapping[str, str]) -> int:
    text = environ.get(f"{_PREFIX}REPLICAS", "1")
    if text not in {"1", "3", "5"}:
        raise StartRefused(f"{_PREFIX}REPLICAS must be 1, 3 or 5, not {text!r}")
    return int(text)


def _password(environ: Mapping[str, str]) -> str | None:
    path = environ.get(f"{_PREFIX}PASSWORD_FILE")
    if path is None:
        return environ.get(f"{_PREFIX}PASSWORD")
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise StartRefused(f"the password in {path} cannot be read: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main(os.environ))
