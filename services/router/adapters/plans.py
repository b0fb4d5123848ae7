"""Publishes plans: the fact of what was decided, then the plan itself by compare-and-set, never over a newer one."""

from typing import Final

import msgspec
import structlog

from shared.contracts.catalog import PlanCompiled
from shared.contracts.plan import Plan, encode_plan
from shared.kernel.clock import Clock
from shared.kernel.ids import NewId
from shared.log.facts import Facts
from shared.log.port import PLANS, Entry, EventLog

_log = structlog.get_logger("router")


class PlanStore:
    """``lr_plans`` and the facts about it."""

    def __init__(self, log: EventLog, *, clock: Clock, new_id: NewId) -> None:
        self._bucket = log.bucket(PLANS)
        self._facts = Facts(log, clock=clock, new_id=new_id, source="router")

    async def router_ids(self) -> list[str]:
        """Return the routers that have a plan."""
        return [entry.key for entry in await self._bucket.entries()]

    async def current(self, router_id: str) -> Entry | None:
        """Return what is published for a router."""
        return await self._bucket.get(router_id)

    async def publish(self, plan: Plan, over: Entry | None) -> bool:
        """Put ``plan`` where ``over`` stands and return whether that was called for.

        It is not when the published plan decides the same, or was made from newer inputs. The fact goes first, so
        that every plan which a request can meet is on record. Raises Conflict when another was published meanwhile.
        """
        before = _read(over)
        if before is not None and before.hash == plan.hash:
            return False
        if before is not None and _is_newer(before, plan):
            _log.warning("plan is older than the published one", router=plan.slug, inputs=plan.inputs)
            return False
        raw = encode_plan(plan)
        await self._announce(plan, raw)
        await self._bucket.put(plan.router_id, raw, expected=over.revision if over else 0)
        return True

    async def withdraw(self, router_id: str) -> None:
        """Remove the plan of a router that is no more."""
        await self._bucket.purge(router_id)

    async def _announce(self, plan: Plan, raw: bytes) -> None:
        data = PlanCompiled(router_id=plan.router_id, plan_hash=plan.hash, plan=raw)
        await self._facts.publish(f"lr.facts.plan.{plan.router_id}", data, about=f"plan/{plan.router_id}")


class _Published(msgspec.Struct, frozen=True):
    """What is to be known of a published plan: its candidates are many, and not read."""

    hash: str = ""
    inputs: dict[str, int] = {}


_PUBLISHED: Final = msgspec.json.Decoder(_Published)


def _read(entry: Entry | None) -> _Published | None:
    """Return what is published; one that does not read is no reason to keep it."""
    if entry is None or entry.value is None:
        return None
    try:
        return _PUBLISHED.decode(entry.value)
    except msgspec.DecodeError as error:
        _log.warning("published plan does not read", router=entry.key, error=str(error))
        return None


def _is_newer(published: _Published, plan: Plan) -> bool:
    """Whether ``published`` was made under a later lease or, under the same one, from a newer input."""
    ours, theirs = plan.inputs, published.inputs
    mine, other = ours.get("epoch", 0), theirs.get("epoch", 0)
    if mine != other:
        return other > mine
    return any(theirs.get(name, 0) > revision for name, revision in ours.items())
