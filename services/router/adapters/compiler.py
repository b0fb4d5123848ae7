"""Keeps the published plans as the world says: compiles after changes, in bursts, and only what they touch."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import structlog

from services.router.adapters.metrics import Metrics
from services.router.adapters.plans import PlanStore
from services.router.domain.concern import BY_MIX, BY_SPEED, MANY, Change, concerns, strategies_of
from services.router.domain.world import RouterView, World
from shared.contracts.plan import Plan
from shared.kernel.errors import Conflict, ContractBroken, LogError
from shared.log.leases import Lease
from shared.routing.compile import compile_plan
from shared.routing.scoring import Scorer
from shared.routing.table import ModelTable

_log = structlog.get_logger("router")

_Result = TypeVar("_Result")

MANY_MODELS: Final = 2_000
"""From here on compiling takes milliseconds, so it leaves the event loop."""


@dataclass(frozen=True, slots=True)
class _Catalog:
    """All models, and the positions they are as of: plans never claim newer ones."""

    table: ModelTable
    inputs: dict[str, int]


@dataclass(slots=True)
class _Changed:
    """What changed since the last round."""

    routers: set[str] = field(default_factory=set[str])
    models: dict[str, Change] = field(default_factory=dict[str, Change])
    quicker: set[str] = field(default_factory=set[str])
    """Models of another speed."""
    begins: set[str] = field(default_factory=set[str])
    """Models whose first token takes longer or shorter."""

    def any(self) -> bool:
        return bool(self.routers or self.models or self.quicker or self.begins)


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
        self._changed = _Changed()
        self._everything = False
        self._catalog: _Catalog | None = None
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
        self._changed.routers.add(router_id)
        self._woken.set()

    def catalog_changed(self, changed: Mapping[str, Change]) -> None:
        """Note that models are new, different or gone: plans of routers that may use one of them may look different."""
        known = self._changed.models
        known.update({model_id: change.after_that(known.get(model_id)) for model_id, change in changed.items()})
        self._woken.set()

    def measured_changed(self, mixed: set[str], *, quicker: set[str], begins: set[str]) -> None:
        """Note new measurements: another mix of the routers ``mixed`` (slugs), other speeds of models, and of which of
        them it takes another number of seconds until they begin."""
        for router in self._world.routers.values():
            if router.spec.slug in mixed and strategies_of(router.spec) & BY_MIX:
                self._changed.routers.add(router.id)
        self._changed.quicker |= quicker
        self._changed.begins |= begins
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
            if self._everything or self._changed.any():
                await self._round()

    async def _round(self) -> None:
        """Compile what changed up to now; what fails stays noted as changed."""
        try:
            await self._note_everything()
            changed, self._changed = self._changed, _Changed()
            catalog = self._catalog_now()
            routers = list(self._world.routers.values())
            due = changed.routers | await self._offload(catalog, _concerned, routers, changed, catalog.table)
            self._changed.routers |= due
            for router_id in sorted(due):
                self._changed.routers.discard(router_id)
                try:
                    await self._bring_up_to_date(router_id, catalog)
                except LogError:
                    self._changed.routers.add(router_id)
                    raise
        except Conflict:
            self._woken.set()  # another process published at this moment: compare with its plan
        except LogError as error:
            _log.warning("plans not published, trying again", error=str(error))

    def _catalog_now(self) -> _Catalog:
        """Return all models; the table of the round before where none changed since."""
        inputs, last = self._world.inputs(0), self._catalog
        if last is None or last.inputs["lr_catalog"] != inputs["lr_catalog"]:
            last = _Catalog(ModelTable.of(self._world.models(), BY_MIX, last and last.table), inputs)
        self._catalog = catalog = _Catalog(last.table, inputs)
        return catalog

    async def _offload(self, catalog: _Catalog, work: Callable[..., _Result], *arguments: Any) -> _Result:
        """Do what takes long with many models in a thread: the event loop may be the one that carries streams."""
        if len(catalog.table.models) < MANY_MODELS:
            return work(*arguments)
        return await asyncio.to_thread(work, *arguments)

    async def _note_everything(self) -> None:
        if self._everything:
            self._everything = False
            try:
                published = await self._plans.router_ids()
            except LogError:
                self._everything = True
                raise
            self._changed.routers.update(published, self._world.routers)

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
        started = time.perf_counter()
        try:
            plan = await self._offload(
                catalog,
                compile_plan,
                router.id,
                router.spec,
                catalog.table,
                self._strategies,
                inputs,
                evidence,
            )
        except ContractBroken as error:
            self._broken[router.id] = str(error)
            return None
        self._metrics.compile_seconds.observe(time.perf_counter() - started)
        self._broken.pop(router.id, None)
        return plan

    def _name(self, router_id: str) -> str:
        router = self._world.routers.get(router_id)
        return router.spec.slug if router else router_id


def _concerned(routers: list[RouterView], changed: _Changed, table: ModelTable) -> set[str]:
    """Return the routers whose plans may look different for what changed of models."""
    if len(changed.models) * MANY > len(table.models):
        return {router.id for router in routers}
    speeds, begins = _as_they_are(changed.quicker, table), _as_they_are(changed.begins, table)
    return {
        router.id
        for router in routers
        if concerns(router.spec, changed.models)
        or concerns(router.spec, speeds if strategies_of(router.spec) & BY_SPEED else begins)
    }


def _as_they_are(model_ids: set[str], table: ModelTable) -> dict[str, Change]:
    found = ((model_id, table.places.get(model_id)) for model_id in model_ids)
    return {model_id: Change(None, table.models[place]) for model_id, place in found if place is not None}
