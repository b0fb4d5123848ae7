"""Rotates the pepper: new keys go under the new one, an older one lives until its last key is gone."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Final

import structlog

from services.gateway.adapters.peppers import PEPPER_BYTES, PREFIX, Peppers
from shared.kernel.clock import Clock
from shared.kernel.errors import LogError, SealBroken
from shared.kernel.ids import NewId
from shared.log.port import Bucket
from shared.log.secrets import SecretStore

_SWEEP_S: Final = 600.0
_RETRY_S: Final = 5.0
_SETTLED_MS: Final = 60_000
"""An older pepper stays at least this long beside a new one: somebody may be making a key under it right now."""

log = structlog.get_logger("gateway")


class PepperRotation:
    """Makes new peppers, hears of those that other gateways make, and purges what no key needs any more."""

    def __init__(
        self,
        peppers: Peppers,
        bucket: Bucket,
        secrets: SecretStore,
        needed: Callable[[], set[str] | None],
        *,
        new_id: NewId,
        clock: Clock,
    ) -> None:
        """``needed``: the peppers that keys need; None: it cannot be said now."""
        self._peppers = peppers
        self._bucket = bucket
        self._secrets = secrets
        self._needed = needed
        self._new_id = new_id
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to listen and to sweep; the keys are known by now."""
        self._tasks = [
            asyncio.create_task(self._listen(), name="peppers"),
            asyncio.create_task(self._sweep_for_ever(), name="pepper sweep"),
        ]

    async def stop(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    async def rotate(self) -> str:
        """Make a pepper for the keys that are made from here on, and return its id.

        Killed after it was stored it counts all the same. Raises OutcomeUnknown, LogUnavailable, SealBroken.
        """
        pepper_id = PREFIX + self._new_id()
        await self._secrets.put(pepper_id, os.urandom(PEPPER_BYTES), context=pepper_id)
        await self._peppers.reload()
        log.info("the pepper was rotated", pepper=pepper_id)
        return pepper_id

    async def sweep(self) -> list[str]:
        """Purge the older ones that no key needs and return their ids; raises OutcomeUnknown, LogUnavailable."""
        known, needed = sorted(self._peppers.all()), self._needed()
        if (
            len(known) < 2
            or needed is None
            or _made_ms(known[-1]) > self._clock.now().timestamp() * 1_000 - _SETTLED_MS
        ):
            return []
        gone = [pepper_id for pepper_id in known[:-1] if pepper_id not in needed]
        for pepper_id in gone:
            await self._secrets.purge(pepper_id)
            log.info("a pepper that no key needs any more was purged", pepper=pepper_id)
        if gone:
            await self._peppers.reload()
        return gone

    async def _listen(self) -> None:
        while True:
            try:
                async for entry in self._bucket.watch():
                    if entry is None or not entry.key.startswith(PREFIX):
                        continue
                    if (entry.value is None) == (entry.key in self._peppers.all()):
                        await self._peppers.reload()
            except (LogError, SealBroken, KeyError) as error:  # KeyError: purged between listing and reading
                log.warning("peppers not read again", error=str(error))
            await asyncio.sleep(_RETRY_S)

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self.sweep()
            except (LogError, SealBroken, KeyError) as error:
                log.warning("old peppers not swept", error=str(error))
            await asyncio.sleep(_SWEEP_S)


def _made_ms(pepper_id: str) -> int:
    """Return when a pepper was made, in Unix milliseconds: the first 48 bits of its UUIDv7."""
    return int(pepper_id.removeprefix(PREFIX).replace("-", "")[:12], 16)
