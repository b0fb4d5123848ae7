"""What the routes of the admin API work with: the world, the aggregates, and the ways of refusing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.router.domain.router import ROUTER, DeleteRouter, ReplaceRouter, Router, RouterCommand, problem_of
from services.router.domain.strategies import STRATEGIES
from services.router.domain.world import RouterView, World
from shared.contracts.config import ManualOrder, RouterSpec
from shared.contracts.plan import Plan
from shared.kernel.errors import LogDamaged, Refusal
from shared.kernel.ids import NewId
from shared.log.aggregates import Aggregates, Loaded
from shared.routing.compile import compile_plan
from shared.runtime.admin import Problem, refused


@dataclass(frozen=True, slots=True)
class Routers:
    """What the routes need: the world to read, the aggregates to change, and the way to read one's own write."""

    world: World
    aggregates: Aggregates
    new_id: NewId
    reached: Callable[[int], Awaitable[None]]
    """Waits until the world holds a stream sequence of ``LR_CONFIG``."""
    caught_up: Callable[[], Awaitable[None]]
    """Waits until the world holds all that was written up to now."""

    def find(self, name: str) -> RouterView:
        """Return the router with this slug or id; raises Problem."""
        router = self.world.find(name)
        if router is None:
            raise Problem(404, "router_not_found", f"there is no router {name!r}")
        return router

    def check(self, spec: RouterSpec) -> RouterSpec:
        """Return ``spec`` if a plan can be made of it; raises Problem."""
        problem = problem_of(spec)
        if problem is not None:
            raise refused(problem)
        if isinstance(spec.order, ManualOrder):
            unknown = self.world.unknown_models(spec.order.models)
            if unknown:
                detail = f"order.models: no provider lists {', '.join(unknown)}"
                raise Problem(422, "unknown_model", detail, models=unknown)
        return spec

    async def change(
        self, router_id: str, command: RouterCommand, actor: str, expected: int | None = None
    ) -> Loaded[Router]:
        """Decide and write ``command``, and wait until the world shows it; raises Problem."""
        try:
            changed = await self.aggregates.handle(ROUTER, router_id, command, actor=actor, expected_version=expected)
        except LogDamaged as error:
            raise Problem(409, "router_frozen", f"the router cannot be changed: {error}") from error
        if isinstance(changed, Refusal):
            raise _refused(changed, command)
        await self.reached(changed.sequence)
        return changed

    def plan(self, router_id: str, spec: RouterSpec, sequence: int = 0) -> Plan:
        """Return the plan that ``spec`` makes of the world as it is."""
        world = self.world
        inputs, evidence = world.inputs(sequence), world.evidence(spec.slug)
        return compile_plan(router_id, spec, world.models(), STRATEGIES, inputs, evidence)


def _refused(refusal: Refusal, command: RouterCommand) -> Problem:
    """Return a refusal as a problem document, with the users of what is in use as a member of their own."""
    if refusal.code == "router_in_use" and isinstance(command, ReplaceRouter | DeleteRouter):
        return Problem(refusal.status, refusal.code, refusal.message, used_by=list(command.used_by))
    return refused(refusal)
