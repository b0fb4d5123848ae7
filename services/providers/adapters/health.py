"""Probes and breakers of all providers: fed by free probes and real traffic, published when something changes."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from services.providers.adapters.vendor_api import NoCredential, VendorAnswered, VendorApi
from services.providers.domain.breaker import Breaker, BreakerRules, Outcome, admit, record, reopens_at
from services.providers.domain.health import Probed, health_of, outcome_of_attempt, outcome_of_probe
from services.providers.domain.registry import VENDORS
from services.providers.projections.providers import ProvidersFold, ProviderView
from shared.contracts.catalog import BreakerState, HealthChanged, HealthState
from shared.contracts.frames import Fail, Tail
from shared.kernel.clock import Clock
from shared.kernel.errors import LogError
from shared.kernel.ids import NewId
from shared.log.facts import Facts
from shared.log.port import EventLog

_JITTER: Final = 0.1
_LOOK_S: Final = 1.0
"""How often the prober looks who is due."""

log = structlog.get_logger("providers")


_NOT_PROBED: Final = "not probed yet"
_NO_CREDENTIAL: Final = "no credential is set"
_UNPROBED: Final = ("unknown", "closed", _NOT_PROBED)


@dataclass(slots=True)
class State:
    """What is known of one provider."""

    health: HealthState = "unknown"
    reason: str = _NOT_PROBED
    breaker: Breaker = field(default_factory=Breaker)
    due: float = 0.0
    probing: bool = False
    published: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """An attempt that was let through, in an epoch of its breaker."""

    provider_id: str
    epoch: int


class HealthBoard:
    """Knows how every provider is, lets requests through, probes, and tells the log about transitions."""

    def __init__(
        self,
        fold: ProvidersFold,
        api: VendorApi,
        log_: EventLog,
        *,
        local_model: bool,
        clock: Clock,
        new_id: NewId,
        recovered: Callable[[str], None],
    ) -> None:
        """``recovered`` is told the id of a provider that answers again."""
        self._fold = fold
        self._api = api
        self._local_model = local_model
        self._clock = clock
        self._facts = Facts(log_, clock=clock, new_id=new_id, source="providers")
        self._recovered = recovered
        self._states: dict[str, State] = {}
        self._failed: dict[str, str] = {}
        self._woken = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        # Epochs of an earlier run of this process count as older, whatever they were.
        self._epoch = int(clock.now().timestamp() * 1_000)

    async def start(self) -> None:
        """Begin to probe."""
        self._run(self._probe_all(), "probes")
        self._run(self._publish(), "health publisher")

    async def stop(self) -> None:
        """End."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def problems(self) -> list[str]:
        """Return why nobody watches over health; empty: it is watched."""
        return [f"{name} stopped: {why}" for name, why in self._failed.items()]

    def state(self, provider_id: str) -> State:
        """Return what is known of a provider."""
        known = self._states.get(provider_id)
        if known is None:
            known = self._states[provider_id] = State()
        return known

    def shown(self, provider_id: str) -> tuple[HealthState, str, BreakerState]:
        """Return health, why, and the breaker's state."""
        state = self.state(provider_id)
        return state.health, state.reason, state.breaker.state

    def admit(self, view: ProviderView) -> Permit | None:
        """Let an attempt through, or not: the breaker is open."""
        state = self.state(view.id)
        state.breaker, epoch = admit(state.breaker, rules_of(view), self._clock.monotonic())
        return None if epoch is None else Permit(view.id, epoch)

    def ended(self, view: ProviderView, permit: Permit, outcome: Fail | Tail | None) -> None:
        """An attempt ended; None: it was cancelled."""
        state = self.state(view.id)
        self._record(view, state, permit.epoch, outcome_of_attempt(outcome))
        if isinstance(outcome, Tail) and state.health in ("unhealthy", "unknown"):
            state.health, state.reason = "healthy", ""
            self._woken.set()

    def changed(self, provider_id: str) -> None:
        """A provider was changed: what was known of it counts no more."""
        known = self._states.pop(provider_id, None)
        if known is not None and self._fold.get(provider_id) is not None:
            self._states[provider_id] = State(published=known.published)

    async def probe(self, view: ProviderView) -> Probed:
        """Probe now and note the result."""
        state = self.state(view.id)
        probed = await self._ask(view)
        if self._states.get(view.id) is not state:
            return probed
        was = state.health
        if probed.reason == _NO_CREDENTIAL:
            state.health, state.reason = "unknown", probed.reason
        else:
            state.health, state.reason = health_of(probed, view.spec.options.degraded_after_s)
        if was == "unhealthy" and state.health in ("healthy", "degraded"):
            self._recovered(view.id)
        self._woken.set()
        return probed

    async def _ask(self, view: ProviderView) -> Probed:
        vendor = VENDORS[view.spec.vendor]
        if vendor.slug == "local":
            return Probed(200, 0.0) if self._local_model else Probed(None, 0.0, "it is not installed or switched off")
        began = self._clock.monotonic()
        status, reason = 200, ""
        limit_s = view.spec.options.probe_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await self._api.get(view, vendor.models_path or "", limit_s=limit_s)
        except VendorAnswered as error:
            status = vendor.probed(error.status)
        except NoCredential:
            status, reason = None, _NO_CREDENTIAL
        except TimeoutError:
            status, reason = None, f"no answer in {limit_s:g} s"
        except OSError as error:
            status, reason = None, str(error) or type(error).__name__
        except ValueError as error:
            reason = str(error)
        return Probed(status, self._clock.monotonic() - began, reason)

    async def _due(self, view: ProviderView, state: State) -> None:
        """Probe a provider whose time has come; behind an open breaker it is the one try."""
        try:
            state.breaker, epoch = admit(state.breaker, rules_of(view), self._clock.monotonic())
            probed = await self.probe(view)
            outcome = outcome_of_probe(probed)
            if probed.reason == _NO_CREDENTIAL or (state.breaker.state == "closed" and outcome == "success"):
                outcome = "neutral"  # a list of models does not make up for answers that fail
            if epoch is not None:
                self._record(view, state, epoch, outcome)
        finally:
            spread = 1 + random.uniform(-_JITTER, _JITTER)  # noqa: S311  keeps probes apart, decides nothing
            state.due = self._clock.monotonic() + view.spec.options.probe_interval_s * spread
            reopens = reopens_at(state.breaker, rules_of(view))
            if reopens is not None:
                state.due = min(state.due, max(reopens, self._clock.monotonic() + _LOOK_S))
            state.probing = False

    def _record(self, view: ProviderView, state: State, epoch: int, outcome: Outcome) -> None:
        before = state.breaker
        rules = rules_of(view)
        state.breaker = record(before, rules, epoch, outcome, self._clock.monotonic())
        if state.breaker.state != before.state:
            reopens = reopens_at(state.breaker, rules)
            state.due = state.due if reopens is None else min(state.due, reopens)
            say = log.info if state.health == "unhealthy" else log.warning  # what probes found was said already
            say("breaker", provider=view.spec.slug, state=state.breaker.state, was=before.state)
            self._woken.set()

    async def _probe_all(self) -> None:
        while True:
            now = self._clock.monotonic()
            for view in self._fold.all():
                state = self.state(view.id)
                if view.spec.enabled and not state.probing and now >= state.due:
                    state.probing = True
                    self._run(self._due(view, state), f"probe {view.spec.slug}")
            await asyncio.sleep(_LOOK_S)

    async def _publish(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            for view in self._fold.all():
                state = self.state(view.id)
                told = (state.health, state.breaker.state, state.reason)
                if told == _UNPROBED or (state.published is not None and told[:2] == state.published[:2]):
                    continue
                try:
                    await self._tell(view, state)
                except LogError as error:
                    log.warning("health not published", provider=view.spec.slug, error=str(error))
                    continue
                state.published = told

    async def _tell(self, view: ProviderView, state: State) -> None:
        self._epoch += 1
        data = HealthChanged(
            provider_id=view.id,
            provider=view.spec.slug,
            health=state.health,
            breaker=state.breaker.state,
            reason=state.reason,
            epoch=self._epoch,
        )
        await self._facts.publish(f"lr.health.{view.id}", data, about=f"health/{view.id}")
        log.info("health", provider=view.spec.slug, health=state.health, reason=state.reason)

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("health task failed", task=task.get_name(), error=str(error))
            self._failed[task.get_name()] = str(error)


def rules_of(view: ProviderView) -> BreakerRules:
    """Return a provider's breaker rules."""
    options = view.spec.options
    return BreakerRules(failures=options.breaker_failures, open_s=options.breaker_open_s)
