"""``python -m services.gateway restore FILE``: makes an empty log on NATS from a backup.

The gateway does it because it owns the keys, which a restore disables, and has the master key.
"""

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

from services.gateway.domain.key import KEY, DisableKey, KeyState
from shared.kernel.errors import LocalRouterError, Refusal, StartRefused
from shared.log.aggregates import Aggregates
from shared.log.backup import Backup, restoring
from shared.log.nats import NatsLog
from shared.log.nats_connection import Connection
from shared.log.port import LR_CONFIG, EventLog
from shared.runtime.backups import copying_user, nats_password
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.master_key import load_master_keys
from shared.runtime.process import Place

REFUSED: Final = 4
_OF_A_LIFE: Final = ("journal", "snapshots")
"""What a gateway leaves in its folder once it has run."""
_KEYS: Final = f"lr.config.{KEY.kind}."


async def restore(place: Place, file: IO[bytes], name: str, *, enable_keys: bool) -> str:
    """Make the log from a backup, and return what was done, in a sentence.

    Raises StartRefused, with nothing changed, and LogUnavailable, OutcomeUnknown: then no service starts on this log
    until a restore of it is whole.
    """
    nats = place.settings.nats
    if nats.url is None:
        raise StartRefused("nats.url is not set: it names the log that is to be restored")
    if found := [name for name in _OF_A_LIFE if (place.home / name).exists()]:
        raise StartRefused(f"{place.home} is not empty, there is {', '.join(found)}: a restore needs an empty one")
    ring = load_master_keys(place.home, place.environ).ring()
    with closing(await asyncio.to_thread(Backup, file, name)) as backup:
        backup.require(ring)
        user, password = copying_user(nats, "gateway")
        connection = Connection(nats.url, user=user, password=password, name="restore")
        await connection.open(nats.wait_s)
        try:
            async with restoring(connection, nats.url):
                await backup.restore(connection)
                disabled = None if enable_keys else await _disable_keys(place, nats.url)
        finally:
            await connection.close()
        return backup.told(disabled)


async def _disable_keys(place: Place, url: str) -> int:
    nats = place.settings.nats
    log = await NatsLog.connect(url, user=nats.user or "gateway", password=nats_password(nats), name="restore")
    try:
        return await disable_keys(log)
    finally:
        await log.close()


async def disable_keys(log: EventLog) -> int:
    """Disable every key that is enabled, and return how many; raises StartRefused, LogError."""
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


def main(arguments: Sequence[str]) -> None:
    """Restore, and say what was done; exits with a sentence where it was not."""
    parser = argparse.ArgumentParser(prog="restore", description="Make an empty log from a backup.")
    parser.add_argument("file", help="what `localrouter backup` wrote; -: what comes on standard input")
    parser.add_argument("--enable-keys", action="store_true", help="leave keys as they were")
    options = parser.parse_args(arguments)
    try:
        place = Place.here(dict(os.environ))
        with _opened(place, options.file) as file:
            done = asyncio.run(restore(place, file, options.file, enable_keys=options.enable_keys))
    except LocalRouterError as error:
        sys.stderr.write(f"localrouter: {error}\n")
        sys.exit(REFUSED)
    sys.stdout.write(f"{done}\n")


def _opened(place: Place, name: str) -> IO[bytes]:
    try:
        if name != "-":
            return Path(name).open("rb")
        file = tempfile.TemporaryFile(dir=place.home)  # noqa: SIM115  the caller's to close
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.seek(0)
    except OSError as error:
        raise StartRefused(f"the backup {name} cannot be read: {error.strerror}") from error
    return file
