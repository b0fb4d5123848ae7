"""Explains a request from the log: reads its plan and the health of then, and derives the choice again."""

from contextlib import aclosing

from services.metrics.projections.plans import PlanIndex
from shared.contracts.catalog import HealthChanged, PlanCompiled
from shared.contracts.plan import Plan, decode_plan
from shared.contracts.usage import UsageRecord
from shared.log.port import LR_FACTS, LR_HEALTH, EventLog
from shared.routing.explain import Explanation, explain
from shared.routing.health import HealthOverlay, ProviderHealth


class Explainer:
    """Answers why a request went where it went."""

    def __init__(self, log: EventLog, plans: PlanIndex) -> None:
        self._log = log
        self._plans = plans

    async def explain(self, record: UsageRecord) -> Explanation | None:
        """Return why; None: the request came to no choice by a router's plan. Raises LogError, ContractBroken."""
        sequence = None if record.plan_hash is None else self._plans.find(record.plan_hash)
        plan = None if sequence is None else await self._plan(sequence)
        if plan is None:
            return None
        return explain(plan, record, await self._health(record.inputs.get(LR_HEALTH, 0)))

    async def _plan(self, sequence: int) -> Plan | None:
        async with aclosing(self._log.read(LR_FACTS, after=sequence - 1)) as messages:
            async for recorded in messages:
                if recorded.event is None or not isinstance(data := recorded.event.data, PlanCompiled):
                    return None
                return decode_plan(data.plan)
        return None

    async def _health(self, until: int) -> dict[str, ProviderHealth]:
        overlay = HealthOverlay()
        if not until:
            return overlay.states
        async with aclosing(self._log.read(LR_HEALTH)) as messages:
            async for recorded in messages:
                if recorded.sequence > until:
                    break
                if recorded.event is not None and isinstance(data := recorded.event.data, HealthChanged):
                    overlay.take(data)
        return overlay.states
