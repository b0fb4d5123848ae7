"""Rotates the master key while everything runs: in steps of which each may be a process's last.

The ring where the key is kept says how far it is: ``old``; ``new old``: what is sealed from here on is sealed by the
new one, and what there is gets wrapped anew, while every process opens both; ``new``: done. Whoever finds a ring of
two goes on from there.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from shared.kernel.clock import Clock
from shared.kernel.errors import LocalRouterError, Refusal
from shared.kernel.secrets import KEY_BYTES, key_id
from shared.log.leases import Lease
from shared.log.port import Bucket
from shared.log.secrets import rewrap_all
from shared.runtime.master_key import VARIABLE, MasterKeys

LEASE: Final = "master-rotation"
_WAIT_S: Final = 15.0
"""Longer than the lease of one that was killed lives."""
log = structlog.get_logger("gateway")


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did."""

    master_id: str
    """Names the key that now seals everything."""
    rewrapped: int
    """How many secrets were wrapped anew."""


class MasterRotation:
    """Rotates the master key; one process at a time."""

    def __init__(
        self,
        keys: MasterKeys,
        secrets: Bucket,
        leases: Bucket,
        *,
        holder: str,
        clock: Clock,
        rewrap_more: Callable[[Sequence[bytes]], object] = lambda _: None,
    ) -> None:
        """``holder`` names this process to the lease, and its former self that was killed; ``rewrap_more`` wraps by the
        first of a ring what is sealed elsewhere than among the secrets."""
        self._keys = keys
        self._secrets = secrets
        self._leases = leases
        self._holder = holder
        self._clock = clock
        self._rewrap_more = rewrap_more
        self._turn = asyncio.Lock()
        self._going_on: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Go on with a rotation that was cut short, in the background."""
        if len(self._keys.ring()) > 1:
            self._going_on = asyncio.create_task(self._go_on(), name="master rotation")

    async def stop(self) -> None:
        """End."""
        if self._going_on is not None:
            self._going_on.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._going_on

    async def _go_on(self) -> None:
        try:
            outcome = await self._alone(self._finish)
            if isinstance(outcome, Refusal):
                log.info("the master key's rotation is open", because=outcome.message)
        except LocalRouterError as error:
            log.warning("the master key's rotation is open and does not go on", error=str(error))

    async def rotate(self) -> Rotated | Refusal:
        """Replace the master key; raises SealBroken, StartRefused, LogError: then it is open, and goes on later."""
        return await self._alone(self._replace)

    async def _alone(self, act: Callable[[], Awaitable[Rotated | Refusal]]) -> Rotated | Refusal:
        async with self._turn:
            ours = asyncio.Event()
            lease = Lease(self._leases, LEASE, self._holder, clock=self._clock, gained=lambda _: ours.set())
            await lease.start()
            try:
                async with asyncio.timeout(_WAIT_S):
                    await ours.wait()
                return await act()
            except TimeoutError:
                return Refusal("rotation_running", "another process rotates the master key at this moment")
            finally:
                await lease.stop()

    async def _replace(self) -> Rotated | Refusal:
        ring = await self._keys.again()
        if len(ring) > 1:
            finished = await self._finish()
            if not self._keys.ours:
                return finished
        if not self._keys.ours:
            return Refusal(
                "master_key_given",
                f"the master key is given by ${VARIABLE}: set it to the new key and the old one, with a space between"
                " them, and start again; then rotate; then take the old one away",
            )
        ring = await self._keys.again()
        await self._keys.keep([os.urandom(KEY_BYTES), *ring], instead_of=ring)
        return await self._finish()

    async def _finish(self) -> Rotated:
        """Wrap everything by the first key of the ring, and leave it alone there where that is ours to say."""
        ring = await self._keys.again()
        rewrapped = await self._rewrap(ring)
        if self._keys.ours:
            await self._keys.keep(ring[:1], instead_of=ring)
            rewrapped += await self._rewrap(ring)  # what somebody sealed who had just read the older ring
        log.info("the master key was rotated", master=key_id(ring[0]), rewrapped=rewrapped)
        return Rotated(key_id(ring[0]), rewrapped)

    async def _rewrap(self, ring: Sequence[bytes]) -> int:
        await asyncio.to_thread(self._rewrap_more, ring)
        return await rewrap_all(self._secrets, ring)
