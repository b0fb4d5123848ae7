"""The peppers of the keys' digests: random, kept as secrets, named in every digest they made."""

import os
from collections.abc import Mapping
from typing import Final

import structlog

from shared.kernel.errors import LogDamaged
from shared.kernel.ids import NewId
from shared.log.port import Bucket
from shared.log.secrets import SecretStore

PREFIX: Final = "pepper-"
PEPPER_BYTES: Final = 32

log = structlog.get_logger("gateway")


class Peppers:
    """Every pepper there is; new keys use the newest."""

    def __init__(self, bucket: Bucket, secrets: SecretStore, new_id: NewId) -> None:
        self._bucket = bucket
        self._secrets = secrets
        self._new_id = new_id
        self._peppers: dict[str, bytes] = {}

    async def start(self) -> None:
        """Load them, or make the first; raises SealBroken when the master key is another."""
        await self.reload()
        if not self._peppers:
            pepper_id = PREFIX + self._new_id()
            await self._secrets.put(pepper_id, os.urandom(PEPPER_BYTES), context=pepper_id)
            await self.reload()

    async def stop(self) -> None:
        """Forget them."""
        self._peppers.clear()

    async def reload(self) -> None:
        """Read what is stored."""
        ids = sorted(entry.key for entry in await self._bucket.entries() if entry.key.startswith(PREFIX))
        self._peppers = {pepper_id: await self._secrets.get(pepper_id, context=pepper_id) for pepper_id in ids}

    def all(self) -> Mapping[str, bytes]:
        """Return them by id."""
        return self._peppers

    def newest(self) -> tuple[str, bytes]:
        """Return the one for new keys, with its id."""
        if not self._peppers:
            raise LogDamaged("there is no pepper, so no key can be made or known")
        return next(reversed(self._peppers.items()))

    def missing(self, needed: set[str]) -> list[str]:
        """Return the sentences about peppers that keys need and that are not here."""
        return [
            f"pepper {pepper_id} is gone: its keys are refused" for pepper_id in sorted(needed - set(self._peppers))
        ]
