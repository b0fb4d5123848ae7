"""Backups of the log that a process is connected to, by a user of their own who may copy whole streams."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO

from shared.kernel.errors import LogUnavailable
from shared.log.nats_connection import Connection
from shared.runtime.clock import SYSTEM_CLOCK
from shared.runtime.master_key import MasterKeys
from shared.runtime.settings import Nats
from shared.runtime.token_files import read_token


def backups(
    url: str, *, user: str, password: str | None, folder: Path, masters: MasterKeys
) -> Callable[[], Awaitable[IO[bytes]]]:
    """Return what makes a backup of the log at ``url``; ``folder`` has room for it.

    It raises LogUnavailable, OutcomeUnknown, StartRefused (user refused), OSError.
    """

    async def make() -> IO[bytes]:
        from shared.log.backup import write_backup

        ring = await masters.again()
        if len(ring) > 1:
            raise LogUnavailable("the master key is being rotated: make the backup when that is done")
        connection = Connection(url, user=user, password=password, name="backup")
        await connection.open()
        try:
            return await write_backup(connection, folder, master=ring[0], now=SYSTEM_CLOCK.now())
        finally:
            await connection.close()

    return make


def copying_user(nats: Nats, service: str) -> tuple[str, str | None]:
    """Return the user that copies streams, with its password: its own, or, where none is set, the service's.

    Raises StartRefused for a password that cannot be read.
    """
    if nats.backup_user is None:
        return nats.user or service, nats_password(nats)
    if nats.backup_password is not None:
        return nats.backup_user, nats.backup_password.get_secret_value()
    file = nats.backup_password_file
    return nats.backup_user, None if file is None else read_token(Path(file))


def nats_password(nats: Nats) -> str | None:
    """Return the password of this service's user; raises StartRefused where it cannot be read."""
    if nats.password is not None:
        return nats.password.get_secret_value()
    return None if nats.password_file is None else read_token(Path(nats.password_file))
