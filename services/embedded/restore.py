"""`localrouter restore`: ``python -m services.embedded.restore FILE`` makes a data folder's log from a backup."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.embedded.folder_lock import FolderLock
from services.embedded.nats_server import NatsServer
from services.gateway.domain.key import KEY, DisableKey, KeyState
from shared.kernel.errors import LocalRouterError, Refusal, StartRefused
from shared.log.aggregates import Aggregates
from shared.log.backup import Backup
from shared.log.nats import NatsLog
from shared.log.nats_connection import Connection
from shared.log.port import LR_CONFIG
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.master_key import FILE, FILE_VARIABLE, VARIABLE, load_master_keys
from shared.runtime.nats_users import BACKUP
from shared.runtime.process import Place

_OF_A_LIFE: Final = ("nats", "ledger.db", "snapshots", "journal")
"""What a LocalRouter leaves in its folder once it has run."""
_KEYS: Final = f"lr.config.{KEY.kind}."
REFUSED: Final = 4


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
        backup = await asyncio.to_thread(Backup, file)
        try:
            backup.require(ring)
            return await _restored(place, backup, ring, enable_keys=enable_keys)
        finally:
            backup.close()
    finally:
        lock.release()


async def _restored(place: Place, backup: Backup, ring: Sequence[bytes], *, enable_keys: bool) -> str:
    staging = Path(tempfile.mkdtemp(dir=place.home, prefix=".restore-"))
    try:
        server = NatsServer(staging, ring[0], older=ring[1:], max_store_bytes=place.settings.nats.max_store_bytes)
        async with server:
            connection = Connection(server.url, user=BACKUP, password=server.users[BACKUP], name="restore")
            await connection.open()
            try:
                await backup.restore(connection)
            finally:
                await connection.close()
            disabled = 0 if enable_keys else await _disable_keys(server)
        (staging / "nats").rename(place.home / "nats")
    finally:
        shutil.rmtree(staging)
    copied = backup.manifest.streams.values()
    keys = "keys are as they were" if enable_keys else f"{disabled} keys are disabled: `localrouter keys enable`"
    return f"Restored {sum(stream.messages for stream in copied)} messages as of {backup.manifest.made_at}; {keys}."


async def _disable_keys(server: NatsServer) -> int:
    log = await NatsLog.connect(server.url, user="gateway", password=server.users["gateway"], name="restore")
    try:
        aggregates = Aggregates(log, clock=SYSTEM_CLOCK, new_id=new_id, source="gateway")
        keys = {item.subject.removeprefix(_KEYS) async for item in log.read(LR_CONFIG, f"{_KEYS}*")}
        disabled = 0
        for key in sorted(keys):
            if (await aggregates.load(KEY, key)).state.state is not KeyState.ENABLED:
                continue
            done = await aggregates.handle(KEY, key, DisableKey(), actor="restore")
            if isinstance(done, Refusal):
                raise StartRefused(f"the key {key} cannot be disabled: {done.message}")
            disabled += 1
        return disabled
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
