"""Tells the log what the traffic shows of models and routers, when it shows something new."""

import asyncio
import contextlib
import threading
from collections.abc import Iterable
from typing import Final

import structlog

from services.metrics.domain.measured import Measured, Sample
from services.metrics.domain.rows import RequestRow
from shared.contracts.speed import Mix, Speed, SpeedMeasured
from shared.kernel.clock import Clock
from shared.kernel.errors import LogError
from shared.kernel.ids import NewId
from shared.log.facts import Facts
from shared.log.port import SPEED_SUBJECT, EventLog

log = structlog.get_logger("metrics.measuring")

_ANSWERED: Final = "succeeded"
_LEAST_SHIFT: Final = 0.1
"""Values that move by less are not told anew."""


class Measuring:
    """Gathers in the ledger's thread, tells from the event loop."""

    def __init__(self, event_log: EventLog, *, clock: Clock, new_id: NewId, interval_s: float) -> None:
        self._facts = Facts(event_log, clock=clock, new_id=new_id, source="metrics")
        self._clock = clock
        self._interval_s = interval_s
        self._measured = Measured()
        self._lock = threading.Lock()
        self._fresh = False
        self._told: tuple[dict[str, Speed], dict[str, Mix]] = ({}, {})
        self._task: asyncio.Task[None] | None = None

    def take(self, requests: Iterable[RequestRow]) -> None:
        """Take what is new in the ledger; called in its thread."""
        samples = list(samples_of(requests))
        if samples:
            with self._lock:
                self._measured.take(samples)
                self._fresh = True

    async def start(self) -> None:
        """Begin to tell."""
        self._task = asyncio.create_task(self._run(), name="measuring")

    async def stop(self) -> None:
        """Tell no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self._tell()

    async def _tell(self) -> None:
        """Publish what is measured where that is something new."""
        with self._lock:
            if not self._fresh:
                return
            self._fresh = False
            told = self._measured.told(self._clock.now().timestamp())
        if not shifted(self._told, told):
            return
        try:
            await self._facts.publish(SPEED_SUBJECT, SpeedMeasured(models=told[0], routers=told[1]), about="speed")
        except LogError as error:
            log.warning("measurements not told, trying again", error=str(error))
            self._fresh = True
            return
        self._told = told


def samples_of(requests: Iterable[RequestRow]) -> Iterable[Sample]:
    """Yield the requests that one attempt answered whole: only those time a model and nothing else."""
    for request in requests:
        if request.attempts != 1 or request.status != _ANSWERED or request.model is None:
            continue
        # by position, in the order of its fields: this is done for every request
        yield Sample(
            request.time_ms / 1_000,
            request.model,
            request.router,
            request.input_tokens,
            request.cached_tokens,
            request.cache_write_tokens,
            request.output_tokens,
            request.duration_ms,
            request.ttft_ms if request.stream else None,
        )


def shifted(before: tuple[dict[str, Speed], dict[str, Mix]], after: tuple[dict[str, Speed], dict[str, Mix]]) -> bool:
    """Whether anything came, went, or moved by a tenth."""
    return any(_moved(old, new) for old, new in zip(before, after, strict=True))


def _moved(before: dict[str, Speed] | dict[str, Mix], after: dict[str, Speed] | dict[str, Mix]) -> bool:
    if before.keys() != after.keys():
        return True
    return any(_far(before[name], after[name]) for name in after)


def _far(before: Speed | Mix, after: Speed | Mix) -> bool:
    for name in after.__struct_fields__:
        old: float = getattr(before, name) or 0.0
        new: float = getattr(after, name) or 0.0
        if abs(new - old) > _LEAST_SHIFT * max(abs(old), abs(new)):
            return True
    return False
