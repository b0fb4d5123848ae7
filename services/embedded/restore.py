"""`localrouter restore`: ``python -m services.embedded.restore FILE`` makes a data folder's log from a backup."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Final

from services.embedded.folder_lock import FolderLock
from services.embedded.nats_server import NatsServer
from services.gateway.adapters.restore import REFUSED, disable_keys
from shared.kernel.errors import LocalRouterError, StartRefused
from shared.log.backup import Backup
from shared.log.nats import NatsLog
from shared.log.nats_connection import Connection
from shared.runtime.master_key import FILE, FILE_VARIABLE, VARIABLE, load_master_keys
from shared.runtime.nats_users import RESTORE
from shared.runtime.process import Place

_OF_A_LIFE: Final = ("nats", "ledger.db", "snapshots", "journal")
"""What a LocalRouter leaves in its folder once it has run."""


async def restore(place: Place, file: Path, *, enable_keys: bool) -> str:
    """Make the log of an empty data folder from a backup, and return what was done, in a sentence.

    The store is made beside its place and moved there when all is done, so that one that was cut short is none.
    Raises StartRefused, LogUnavailable.
    """
    home = place.home
    lock = FolderLock(home)
    await lock.acquire()
    try:
        if found := [name for name in _OF_A_LIFE if (home / name).exists()]:
            raise StartRefused(
                f"{home} is not empty, there is {', '.join(found)}: a restore needs an empty data folder"
            )
        if not {VARIABLE, FILE_VARIABLE} & place.environ.keys() and not (home / FILE).exists():
            raise StartRefused(
                f"a restore needs the master key that the backup was made under: put it into {home / FILE},"
                f" or set ${VARIABLE}"
            )
        ring = load_master_keys(home, place.environ).ring()
        with _opened(file) as opened, closing(await asyncio.to_thread(Backup, opened, str(file))) as backup:
            backup.require(ring)
            return await _restored(place, backup, ring, enable_keys=enable_keys)
    finally:
        lock.release()


def _opened(file: Path) -> IO[bytes]:
    try:
        return file.open("rb")
    except OSError as error:
        raise StartRefused(f"the backup {file} cannot be read: {error.strerror}") from error


async def _restored(place: Place, backup: Backup, ring: Sequence[bytes], *, enable_keys: bool) -> str:
    staging = Path(tempfile.mkdtemp(dir=place.home, prefix=".restore-"))
    try:
        server = NatsServer(staging, ring[0], older=ring[1:], max_store_bytes=place.settings.nats.max_store_bytes)
        async with server:
            connection = Connection(server.url, user=RESTORE, password=server.users[RESTORE], name="restore")
            await connection.open()
            try:
                await backup.restore(connection)
            finally:
                await connection.close()
            disabled = None if enable_keys else await _disable_keys(server)
        (staging / "nats").rename(place.home / "nats")
    finally:
        shutil.rmtree(staging)
    return backup.told(disabled)


async def _disable_keys(server: NatsServer) -> int:
    log = await NatsLog.connect(server.url, user="gateway", password=server.users["gateway"], name="restore")
    try:
        return await disable_keys(log)
    finally:
        await log.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Restore, and say what was done."""
    parser = argparse.ArgumentParser(prog="localrouter restore", description="Make an empty data folder from a backup.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--enable-keys", action="store_true", help="leave keys as they were")
    options = parser.parse_args(arguments)
    try:
        done = asyncio.run(restore(Place.here(dict(os.environ)), options.file, enable_keys=options.enable_keys))
    except LocalRouterError as error:
        sys.stderr.write(f"localrouter: {error}\n")
        sys.exit(REFUSED)
    sys.stdout.write(f"{done}\n")


if __name__ == "__main__":
    main()
