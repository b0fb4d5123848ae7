"""Tells the log how providers and credentials do: in order, the newest of each, until the log has taken it."""

import asyncio
import contextlib
from collections import deque
from typing import Final

import msgspec
import structlog

from services.providers.domain.standing import Standing
from services.providers.projections.health import HealthFold
from services.providers.projections.providers import ProviderView
from shared.contracts.catalog import CredentialHealthChanged, HealthChanged
from shared.kernel.clock import Clock
from shared.kernel.errors import LogError
from shared.kernel.ids import NewId
from shared.log.facts import Facts
from shared.log.port import EventLog

_RETRY_S: Final = 1.0
_END_S: Final = 2.0
"""How long the end waits for the log to take what is left."""
_REMEMBERED: Final = 4096

log = structlog.get_logger("providers")


class HealthTeller:
    """Publishes transitions. Each carries an epoch that is higher than any seen before, here or from another process:
    a reader drops what arrives late."""

    def __init__(self, fold: HealthFold, log_: EventLog, *, clock: Clock, new_id: NewId) -> None:
        self._fold = fold
        self._clock = clock
        self._facts = Facts(log_, clock=clock, new_id=new_id, source="providers")
        self._waiting: dict[str, HealthChanged | CredentialHealthChanged] = {}
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._epoch = 0
        self._fence = 0
        self._own: deque[int] = deque(maxlen=_REMEMBERED)

    async def start(self) -> None:
        """Begin to publish."""
        self._task = asyncio.create_task(self._run(), name="health teller")

    async def stop(self) -> None:
        """Publish what waits, if the log answers soon, and end."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(LogError, TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._publish()

    def problems(self) -> list[str]:
        """Return why nothing is told; empty: it is."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            return [f"the health teller stopped: {self._task.exception()}"]
        return []

    def fence(self, epoch: int) -> None:
        """This process gained the prober's lease: what it tells counts more than what an earlier holder tells late."""
        self._fence = max(self._fence, epoch)

    def own(self, epoch: int) -> bool:
        """Whether this process told the transition of that epoch."""
        return epoch in self._own

    def provider(self, told: HealthChanged) -> HealthChanged:
        """Tell of a provider, and return it with its place in the order."""
        fence, epoch = self._place()
        self._tell(f"lr.health.{told.provider_id}", data := msgspec.structs.replace(told, fence=fence, epoch=epoch))
        return data

    def credential(self, view: ProviderView, credential_id: str, fingerprint: str, standing: Standing) -> None:
        """Tell how a credential stands."""
        data = CredentialHealthChanged(
            provider_id=view.id,
            provider=view.spec.slug,
            credential_id=credential_id,
            fingerprint=fingerprint,
            state=standing.state,
            until=standing.until,
            reason=standing.reason,
            epoch=self._place()[1],
        )
        self._tell(f"lr.health.{view.id}.{credential_id}", data)

    def _place(self) -> tuple[int, int]:
        fence, epoch = self._fold.latest
        self._epoch = max(self._epoch, epoch, int(self._clock.now().timestamp() * 1_000) - 1) + 1
        self._own.append(self._epoch)
        return max(self._fence, fence), self._epoch

    def _tell(self, subject: str, data: HealthChanged | CredentialHealthChanged) -> None:
        self._waiting[subject] = data
        self._woken.set()

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._publish()
            except LogError as error:
                log.warning("health not published", error=str(error))
                await asyncio.sleep(_RETRY_S)
                self._woken.set()

    async def _publish(self) -> None:
        while self._waiting:
            subject, data = next(iter(self._waiting.items()))
            about = f"health/{data.provider_id}"
            await self._facts.publish(subject, data, about=about)
            if self._waiting.get(subject) is data:
                del self._waiting[subject]
