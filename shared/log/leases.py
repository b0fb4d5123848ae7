"""Leases: one holder at a time for what must be done once, with an epoch that grows with every new holder."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from shared.kernel.clock import Clock
from shared.kernel.errors import Conflict, LogUnavailable, OutcomeUnknown
from shared.log.port import Bucket, Entry

log = structlog.get_logger("log")

_MARGIN: Final = 0.9
"""A holder stops acting after this part of the time to live; others wait for all of it."""


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """The value of ``lr_leases`` under the lease's name."""

    holder: str
    """Empty: released, free at once."""
    epoch: int
    ttl_s: float


class Lease:
    """Takes a lease as soon as it is free and keeps it while it can.

    Nobody's wall clock counts. A contender that sees the same revision for the whole time to live on its own
    monotonic clock takes over; the holder, who counts from before it sent its last renewal, has stopped by then.
    """

    def __init__(
        self,
        bucket: Bucket,
        name: str,
        holder: str,
        *,
        clock: Clock,
        ttl_s: float = 10.0,
        gained: Callable[[int], None] | None = None,
        lost: Callable[[], None] | None = None,
    ) -> None:
        """``holder`` names this process. Where it names a former self that was killed (only one can run), the lease
        is taken over at once. ``gained`` is given the epoch; both are called from the event loop."""
        self._bucket = bucket
        self._name = name
        self._holder = holder
        self._clock = clock
        self._ttl_s = ttl_s
        self._gained = gained
        self._lost = lost
        self._epoch = 0
        self._revision = 0
        self._until = 0.0
        self._told = False
        self._seen: tuple[int, float] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """Whether this process may act for the lease at this moment."""
        return self._epoch > 0 and self._clock.monotonic() < self._until

    @property
    def epoch(self) -> int:
        """The fencing epoch that writes made under the lease carry; 0: not held."""
        return self._epoch if self.held else 0

    async def start(self) -> None:
        """Try once at once, then go on in the background."""
        await self._step()
        self._task = asyncio.create_task(self._run(), name=f"lease {self._name}")

    async def stop(self) -> None:
        """Let go: the next holder need not wait."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self.held:
            with contextlib.suppress(Conflict, OutcomeUnknown, LogUnavailable):
                await self._put("", self._epoch, expected=self._revision)
        self._drop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause())
            try:
                # A renewal that hangs must not keep the holder from noticing that its time is over.
                async with asyncio.timeout(max(self._left(), 0.0) if self.held else None):
                    await self._step()
            except TimeoutError:
                log.warning("lease not renewed in time", lease=self._name)
            if self._epoch and not self.held:
                self._drop()

    def _left(self) -> float:
        return self._until - self._clock.monotonic()

    def _pause(self) -> float:
        if not self.held:
            return min(1.0, self._ttl_s / 4)
        return min(self._ttl_s / 3, self._left())

    async def _step(self) -> None:
        try:
            await self._renew() if self._epoch else await self._take()
        except Conflict:
            self._drop()
        except (OutcomeUnknown, LogUnavailable) as error:
            log.warning("lease not renewed", lease=self._name, held=self.held, error=str(error))

    async def _take(self) -> None:
        entry = await self._bucket.get(self._name)
        if entry is None:
            await self._put(self._holder, 1, expected=0)
            return
        holding = _read(entry)
        if holding.holder in ("", self._holder) or self._expired(entry.revision, holding.ttl_s):
            await self._put(self._holder, holding.epoch + 1, expected=entry.revision)

    def _expired(self, revision: int, ttl_s: float) -> bool:
        now = self._clock.monotonic()
        if self._seen is None or self._seen[0] != revision:
            self._seen = revision, now
        return now - self._seen[1] >= ttl_s

    async def _renew(self) -> None:
        try:
            await self._put(self._holder, self._epoch, expected=self._revision)
        except OutcomeUnknown:
            # It may have been written, and then its revision is the one to renew from; the epoch tells it is ours.
            entry = await self._bucket.get(self._name)
            if entry is None or _read(entry) != self._holding(self._holder, self._epoch):
                raise Conflict(self._name, self._revision) from None
            self._revision = entry.revision
            raise

    async def _put(self, holder: str, epoch: int, *, expected: int) -> None:
        sent = self._clock.monotonic()
        value = msgspec.json.encode(self._holding(holder, epoch))
        self._revision = await self._bucket.put(self._name, value, expected=expected)
        self._epoch = epoch
        self._until = sent + self._ttl_s * _MARGIN
        if holder and self.held and not self._told:
            self._told = True
            log.info("lease gained", lease=self._name, epoch=epoch)
            if self._gained is not None:
                self._gained(epoch)

    def _holding(self, holder: str, epoch: int) -> Holding:
        return Holding(holder=holder, epoch=epoch, ttl_s=self._ttl_s)

    def _drop(self) -> None:
        self._epoch = 0
        self._revision = 0
        self._seen = None
        if self._told:
            self._told = False
            log.info("lease lost", lease=self._name)
            if self._lost is not None:
                self._lost()


def _read(entry: Entry) -> Holding:
    try:
        return msgspec.json.decode(entry.value or b"", type=Holding)
    except msgspec.DecodeError:
        # Nobody's: but no epoch was ever greater than the revision that carries it.
        return Holding(holder="", epoch=entry.revision, ttl_s=0.0)
