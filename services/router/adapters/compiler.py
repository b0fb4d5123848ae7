"""Keeps the published plans as the world says: compiles after changes, in bursts, and only what they touch."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from services.router.adapters.metrics import Metrics
from services.router.adapters.plans import PlanStore
from services.router.domain.concern import BY_MIX, BY_SPEED, concerns, strategies_of
from services.router.domain.world import RouterView, World
from shared.contracts.catalog import Model
from shared.contracts.plan import Plan
from shared.kernel.errors import Conflict, ContractBroken, LogError
from shared.log.leases import Lease
from shared.routing.compile import compile_plan
from shared.routing.scoring import Scorer

_log = structlog.get_logger("router")

MANY_MODELS: Final = 2_000
"""From here on compiling takes milliseconds, so it leaves the event loop."""


@dataclass(frozen=True, slots=True)
class _Catalog:
    """All models by id, and the positions they are as of: plans never claim newer ones."""

    models: list[Model]
    inputs: dict[str, int]


class Compiler:
    """Compiles the plans of changed routers while it holds the lease."""

    def __init__(
        self,
        world: World,
        plans: PlanStore,
        lease: Lease,
        metrics: Metrics,
        *,
        strategies: Mapping[str, Scorer],
        burst_s: float = 0.05,
        retry_s: float = 1.0,
    ) -> None:
        """``burst_s``: changes that come within it are compiled together; ``retry_s``: how often the lease is looked
        at, and the pause after which what could not be published is tried again."""
        self._world = world
        self._plans = plans
        self._lease = lease
        self._metrics = metrics
        self._strategies = strategies
        self._burst_s = burst_s
        self._retry_s = retry_s
        self._changed: set[str] = set()
        self._models: set[str] = set()
        self._everything = False
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._broken: dict[str, str] = {}

    async def start(self) -> None:
        """Begin; the first round under the lease compiles everything."""
        self._woken.set()
        self._task = asyncio.create_task(self._run(), name="plan compiler")

    async def stop(self) -> None:
        """End; what is not published now is compiled at the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def router_changed(self, router_id: str) -> None:
        """Note that a router is new, different or gone."""
        self._changed.add(router_id)
        self._woken.set()

    def catalog_changed(self, model_ids: set[str]) -> None:
        """Note that models are new, different or gone: plans of routers that may use one of them may look different."""
        self._models |= model_ids
        self._woken.set()

    def measured_changed(self, mixed: set[str], *, quicker: bool) -> None:
        """Note new measurements: another mix of the routers ``mixed`` (slugs), other speeds of models."""
        for router in self._world.routers.values():
            names = strategies_of(router.spec)
            if (quicker and names & BY_SPEED) or (router.spec.slug in mixed and names & BY_MIX):
                self._changed.add(router.id)
        self._woken.set()

    def problems(self) -> list[str]:
        """Return why plans are not what they should be, in sentences."""
        problems = [
            f"router {self._name(router_id)} keeps its last plan: {why}"
            for router_id, why in (self._world.frozen | self._broken).items()
        ]
        if self._task is None:
            problems.append("the plan compiler has not started")
        elif self._task.done() and not self._task.cancelled():
            problems.append(f"the plan compiler stopped: {self._task.exception()}")
        return problems

    async def _run(self) -> None:
        epoch = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._retry_s):
                    await self._woken.wait()
                    await asyncio.sleep(self._burst_s)
            self._woken.clear()
            if not self._lease.held:
                continue
            if self._lease.epoch != epoch:
                epoch = self._lease.epoch
                self._everything = True  # another holder may have left anything undone
            if self._everything or self._changed or self._models:
                await self._round()

    async def _round(self) -> None:
        """Compile what changed up to now; what fails stays noted as changed."""
        try:
            await self._note_everything()
            models, self._models = self._models, set()
            self._changed.update(router.id for router in self._world.routers.values() if concerns(router.spec, models))
            catalog = _Catalog(sorted(self._world.models(), key=_id), self._world.inputs(0))
            for router_id in sorted(self._changed):
                self._changed.discard(router_id)
                try:
                    await self._bring_up_to_date(router_id, catalog)
                except LogError:
                    self._changed.add(router_id)
                    raise
        except Conflict:
            self._woken.set()  # another process published at this moment: compare with its plan
        except LogError as error:
            _log.warning("plans not published, trying again", error=str(error))

    async def _note_everything(self) -> None:
        if self._everything:
            self._everything = False
            try:
                published = await self._plans.router_ids()
            except LogError:
                self._everything = True
                raise
            self._changed.update(published, self._world.routers)

    async def _bring_up_to_date(self, router_id: str, catalog: _Catalog) -> None:
        if router_id in self._world.frozen:
            return
        over = await self._plans.current(router_id)
        router = self._world.routers.get(router_id)
        if router is None:
            self._broken.pop(router_id, None)
            if over is not None:
                await self._plans.withdraw(router_id)
                _log.info("plan withdrawn", router=router_id)
            return
        plan = await self._compile(router, catalog)
        if plan is not None and await self._plans.publish(plan, over):
            self._metrics.published.inc()
            _log.info("plan published", router=plan.slug, candidates=len(plan.candidates), hash=plan.hash)

    async def _compile(self, router: RouterView, catalog: _Catalog) -> Plan | None:
        inputs = {**catalog.inputs, "LR_CONFIG": router.sequence, "epoch": self._lease.epoch}
        evidence = self._world.evidence(router.spec.slug)
        arguments = (router.id, router.spec, catalog.models, self._strategies, inputs, evidence)
        started = time.perf_counter()
        try:
            if len(catalog.models) >= MANY_MODELS:
                plan = await asyncio.to_thread(compile_plan, *arguments)
            else:
                plan = compile_plan(*arguments)
        except ContractBroken as error:
            self._broken[router.id] = str(error)
            return None
        self._metrics.compile_seconds.observe(time.perf_counter() - started)
        self._broken.pop(router.id, None)
        return plan

    def _name(self, router_id: str) -> str:
        router = self._world.routers.get(router_id)
        return router.spec.slug if router else router_id


def _id(model: Model) -> str:
    return model.id
