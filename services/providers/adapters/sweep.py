"""Secrets of credentials that no event names any more are purged at the start."""

from typing import Final

import structlog

from services.providers.domain.ports import Secrets
from services.providers.domain.provider import OAUTH_PREFIX, SECRET_PREFIX
from services.providers.projections.providers import ProvidersFold
from shared.kernel.clock import Clock
from shared.kernel.errors import LogError
from shared.log.port import Bucket

_GRACE_MS: Final = 60_000
"""A secret is stored before the event that names it: one that has just come may still get its event."""

log = structlog.get_logger("providers")


class OrphanSweep:
    """Runs once, after the fold has caught up."""

    def __init__(self, fold: ProvidersFold, bucket: Bucket, secrets: Secrets, clock: Clock) -> None:
        self._fold = fold
        self._bucket = bucket
        self._secrets = secrets
        self._clock = clock

    async def start(self) -> None:
        """Purge the orphans."""
        if self._fold.frozen():
            return
        named = {known.secret_id for view in self._fold.all() for known in view.credentials.values()}
        oldest = self._clock.now().timestamp() * 1_000 - _GRACE_MS
        try:
            for entry in await self._bucket.entries():
                if entry.key.startswith(SECRET_PREFIX) and entry.key not in named and _made_ms(entry.key) < oldest:
                    await self._secrets.purge(entry.key)
                    log.info("orphaned secret purged", secret=entry.key)
        except LogError as error:
            log.warning("orphaned secrets not swept", error=str(error))

    async def stop(self) -> None:
        """Nothing to end."""


def _made_ms(secret_id: str) -> int:
    """Return when a secret's id was made, in Unix milliseconds: the first 48 bits of its UUIDv7."""
    digits = secret_id.removeprefix(OAUTH_PREFIX).removeprefix(SECRET_PREFIX).replace("-", "")[:12]
    try:
        return int(digits, 16)
    except ValueError:
        return 0
