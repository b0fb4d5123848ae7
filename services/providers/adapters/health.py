"""How every provider is: fed by probes, by real traffic, by the log; what changes is told at once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import structlog

from services.providers.adapters.credentials import Credentials
from services.providers.adapters.telling import HealthTeller
from services.providers.domain.breaker import Breaker, BreakerRules, Outcome, admit, hold_off, record, reset, told
from services.providers.domain.health import Probed, health_of, outcome_of_attempt
from services.providers.projections.health import HealthFold, Told
from services.providers.projections.providers import ProvidersFold, ProviderView
from shared.contracts.catalog import BreakerState, CredentialHealthChanged, HealthChanged, HealthState
from shared.contracts.frames import Fail, FailureKind, Tail
from shared.kernel.clock import Clock
from shared.log.port import Recorded

NO_CREDENTIAL: Final = "no credential is set"
_NOT_PROBED: Final = "not probed yet"
_WORTH_TELLING_MS: Final = 2_000
"""A shorter Retry-After is over before the other gateways could make use of it."""
_STRAINED: Final = frozenset({FailureKind.OVERLOADED, FailureKind.SERVER_ERROR})
"""Where a Retry-After speaks of the provider, not of one credential."""
_REFUSED: Final = frozenset({FailureKind.AUTHENTICATION, FailureKind.QUOTA})

log = structlog.get_logger("providers")

_Published = tuple[HealthState, BreakerState, datetime | None]


@dataclass(slots=True)
class State:
    """What is known of one provider."""

    health: HealthState = "unknown"
    reason: str = _NOT_PROBED
    breaker: Breaker = field(default_factory=Breaker)
    cool_until: datetime | None = None
    """The vendor asked to be left alone until then."""
    order: tuple[int, int] = (0, 0)
    """Fence and epoch of what was last told of it, by whomever."""
    published: _Published = ("unknown", "closed", None)


@dataclass(frozen=True, slots=True)
class Permit:
    """An attempt that was let through, in an epoch of its breaker."""

    provider_id: str
    epoch: int


class HealthBoard:
    """Lets requests through, learns from how they end, and tells the log about transitions.

    Several processes have a board each: what one tells, the others take over.
    """

    def __init__(
        self,
        fold: ProvidersFold,
        last: HealthFold,
        teller: HealthTeller,
        credentials: Credentials,
        *,
        clock: Clock,
        leads: Callable[[], bool],
    ) -> None:
        """``leads``: whether this process is the prober now."""
        self._fold = fold
        self._last = last
        self._teller = teller
        self._credentials = credentials
        self._clock = clock
        self._leads = leads
        self._states: dict[str, State] = {}

    async def start(self) -> None:
        """Go on where the log says that everybody was: an open breaker stays open, a rejected credential out."""
        for view in self._fold.all():
            self.state(view.id)
            for standing in self._last.credentials(view.id):
                self._credentials.tell(view, standing)

    async def stop(self) -> None:
        """Nothing to end."""

    def state(self, provider_id: str) -> State:
        """Return what is known of a provider."""
        known = self._states.get(provider_id)
        if known is None:
            known = self._states[provider_id] = State()
            if (last := self._last.get(provider_id)) is not None:
                self._take(known, last)
        return known

    def shown(self, provider_id: str) -> tuple[HealthState, str, BreakerState]:
        """Return health, why, and the breaker's state."""
        state = self.state(provider_id)
        return state.health, state.reason, state.breaker.state

    def cool_until(self, provider_id: str) -> datetime | None:
        """Return until when a provider's vendor asked to be left alone; None: it did not, or that is over."""
        until = self.state(provider_id).cool_until
        return until if until is not None and until > self._clock.now() else None

    def admit(self, view: ProviderView) -> Permit | None:
        """Let an attempt through, or not: the breaker is open."""
        state = self.state(view.id)
        before = state.breaker.state
        state.breaker, epoch = admit(state.breaker, rules_of(view), self._clock.monotonic())
        if state.breaker.state != before:
            self._tell(view, state)
        return None if epoch is None else Permit(view.id, epoch)

    def ended(self, view: ProviderView, permit: Permit, outcome: Fail | Tail | None) -> None:
        """An attempt ended; None: it was cancelled."""
        state = self.state(view.id)
        if isinstance(outcome, Fail):
            self._strained(view, state, outcome)
        self._record(view, state, permit, outcome_of_attempt(outcome))
        if isinstance(outcome, Tail) and state.health in ("unhealthy", "unknown"):
            state.health, state.reason = "healthy", ""
        self._tell(view, state)

    def settle(self, view: ProviderView, permit: Permit, outcome: Outcome) -> None:
        """A probe that was let through ended."""
        state = self.state(view.id)
        self._record(view, state, permit, outcome)
        self._tell(view, state)

    def probed(self, view: ProviderView, probed: Probed) -> None:
        """A probe ended."""
        state = self.state(view.id)
        if probed.reason == NO_CREDENTIAL:
            state.health, state.reason = "unknown", probed.reason
        else:
            state.health, state.reason = health_of(probed, view.spec.options.degraded_after_s)
        self._tell(view, state)

    def reset(self, view: ProviderView) -> None:
        """Close a breaker by hand and forget the vendor's Retry-After; every process follows."""
        state = self.state(view.id)
        state.breaker, state.cool_until = reset(state.breaker), None
        if state.health == "unhealthy":
            state.health, state.reason = "unknown", "its breaker was reset"
        log.info("breaker reset", provider=view.spec.slug)
        self._tell(view, state)

    def changed(self, provider_id: str) -> None:
        """A provider was changed: what was known of it counts no more."""
        known = self._states.pop(provider_id, None)
        if self._fold.get(provider_id) is not None:
            self._states[provider_id] = State()
            if known is not None:
                self._states[provider_id].published, self._states[provider_id].order = known.published, known.order

    def told(self, recorded: Recorded) -> None:
        """The log tells a transition: take it over where another process told it."""
        data = None if recorded.event is None else recorded.event.data
        if not isinstance(data, HealthChanged | CredentialHealthChanged) or self._teller.own(data.epoch):
            return
        view = self._fold.get(data.provider_id)
        if view is None or recorded.event is None:
            return
        if isinstance(data, CredentialHealthChanged):
            self._credentials.tell(view, data)
            return
        state, last = self.state(view.id), Told(data, recorded.event.time)
        if last.order >= state.order:
            self._take(state, last)
        elif self._leads():
            self._publish(view, state)  # somebody who does not know yet who leads; others may have believed it

    def _take(self, state: State, last: Told) -> None:
        """Take over what was told; the time since then counts: an open breaker rests no longer than it should."""
        now, monotonic, data = self._clock.now(), self._clock.monotonic(), last.data
        since = monotonic - max(0.0, (now - last.at).total_seconds())
        state.health, state.reason, state.cool_until = data.health, data.reason, data.cool_until
        state.breaker = told(state.breaker, data.breaker, since)
        if state.breaker.state != "closed" and data.cool_until is not None:
            state.breaker = hold_off(state.breaker, monotonic + (data.cool_until - now).total_seconds())
        state.order = last.order
        state.published = data.health, data.breaker, data.cool_until

    def _record(self, view: ProviderView, state: State, permit: Permit, outcome: Outcome) -> None:
        before = state.breaker
        state.breaker = record(before, rules_of(view), permit.epoch, outcome, self._clock.monotonic())
        if state.breaker.state != before.state:
            say = log.info if state.health == "unhealthy" else log.warning  # what probes found was said already
            say("breaker", provider=view.spec.slug, state=state.breaker.state, was=before.state)

    def _strained(self, view: ProviderView, state: State, fail: Fail) -> None:
        """Learn from a failure what it says of the vendor's patience."""
        until = None
        if fail.kind in _STRAINED and fail.retry_after_ms is not None:
            state.breaker = hold_off(state.breaker, self._clock.monotonic() + fail.retry_after_ms / 1_000)
            until = self._in(fail.retry_after_ms)
        elif fail.kind in _REFUSED or fail.kind is FailureKind.RATE_LIMITED:
            absent = self._credentials.absent(view)
            if absent is not None:
                until = absent.until
                if until is None:
                    state.health, state.reason = "unhealthy", f"no credential is left: {absent.reason}"
            elif fail.credential_id is None and fail.retry_after_ms is not None:
                until = self._in(fail.retry_after_ms)
        if until is not None and (state.cool_until is None or until > state.cool_until):
            state.cool_until = until

    def _in(self, ms: int) -> datetime | None:
        return self._clock.now() + timedelta(milliseconds=ms) if ms > _WORTH_TELLING_MS else None

    def _tell(self, view: ProviderView, state: State) -> None:
        """Tell the log if there is something new."""
        if self._states.get(view.id) is not state:
            return
        health, breaker, until = state.published
        if until is not None or state.cool_until is not None:
            state.cool_until = self.cool_until(view.id)
            if until is not None and until <= self._clock.now():
                until = None
        if (state.health, state.breaker.state, state.cool_until) != (health, breaker, until):
            self._publish(view, state)

    def _publish(self, view: ProviderView, state: State) -> None:
        data = self._teller.provider(
            HealthChanged(
                provider_id=view.id,
                provider=view.spec.slug,
                health=state.health,
                breaker=state.breaker.state,
                reason=state.reason,
                cool_until=state.cool_until,
            )
        )
        state.order = data.fence, data.epoch
        state.published = state.health, state.breaker.state, state.cool_until
        log.info(
            "health",
            provider=view.spec.slug,
            health=state.health,
            reason=state.reason,
            breaker=state.breaker.state,
        )


def rules_of(view: ProviderView) -> BreakerRules:
    """Return a provider's breaker rules."""
    options = view.spec.options
    return _rules(options.breaker_failures, options.breaker_open_s)


@lru_cache(maxsize=64)
def _rules(failures: int, open_s: float) -> BreakerRules:
    return BreakerRules(failures=failures, open_s=open_s)
