"""The peppers of the keys' digests: random, kept as secrets, named in every digest they made."""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from typing import Final

import structlog

from shared.kernel.errors import LogDamaged, LogUnavailable, OutcomeUnknown
from shared.kernel.ids import NewId
from shared.log.port import Bucket, Entry
from shared.log.secrets import SecretStore
from shared.log.snapshots import Snapshot, SnapshotStore

PREFIX: Final = "pepper-"
PEPPER_BYTES: Final = 32
_RETRY_S: Final = 1.0

log = structlog.get_logger("gateway")


class Peppers:
    """Every pepper there is; new keys use the newest."""

    def __init__(self, bucket: Bucket, secrets: SecretStore, new_id: NewId, snapshots: SnapshotStore) -> None:
        """``snapshots`` keep them sealed, as the bucket does: a gateway may begin while the log is away."""
        self._bucket = bucket
        self._secrets = secrets
        self._new_id = new_id
        self._snapshots = snapshots
        self._peppers: dict[str, bytes] = {}
        self._again: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load them, or make the first; raises SealBroken when the master key is another, LogUnavailable."""
        try:
            await self.reload()
        except (LogUnavailable, OutcomeUnknown):
            self._restore()
            if not self._peppers:
                raise
            self._again = asyncio.create_task(self._reload_when_back(), name="peppers")
            return
        if not self._peppers:
            pepper_id = PREFIX + self._new_id()
            await self._secrets.put(pepper_id, os.urandom(PEPPER_BYTES), context=pepper_id)
            await self.reload()

    async def stop(self) -> None:
        """Forget them."""
        if self._again is not None:
            self._again.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._again
        self._peppers.clear()

    async def reload(self) -> None:
        """Read what is stored."""
        found = {item.key: item for item in await self._bucket.entries() if item.key.startswith(PREFIX)}
        self._peppers = {key: bytes(await self._secrets.get(key, context=key)) for key in sorted(found)}
        for key in set(self._snapshots.names()) - set(found):
            self._snapshots.remove(key)
        for key, entry in found.items():
            self._snapshots.save(key, Snapshot("", entry.revision, entry.value or b""))

    def _restore(self) -> None:
        """Take them as they were last kept: sealed, as in the bucket."""
        for name in self._snapshots.names():
            kept = self._snapshots.load(name)
            if kept is not None:
                entry = Entry(name, kept.state, kept.sequence)
                self._peppers[name] = bytes(self._secrets.open(entry, context=name))

    async def _reload_when_back(self) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            with contextlib.suppress(LogUnavailable, OutcomeUnknown):
                await self.reload()
                return

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
