"""Probes of all providers by their vendors' free lists, with every credential; one process probes at a time."""

import asyncio
import math
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import structlog

from services.providers.adapters.credentials import Credentials, Usable
from services.providers.adapters.health import NO_CREDENTIAL, HealthBoard, State, rules_of
from services.providers.adapters.vendor_api import NoCredential, VendorAnswered, VendorApi
from services.providers.domain.breaker import reopens_at
from services.providers.domain.health import Probed, best, health_of, outcome_of_probe
from services.providers.domain.registry import VENDORS
from services.providers.projections.providers import ProvidersFold, ProviderView
from shared.contracts.catalog import HealthState
from shared.contracts.config import ProviderSpec
from shared.contracts.frames import FailureKind
from shared.kernel.clock import Clock
from shared.kernel.secrets import Secret
from shared.log.leases import Lease

_JITTER: Final = 0.1
_LOOK_S: Final = 1.0
"""How often the prober looks who is due, at least."""
_SHORTEST_S: Final = 0.05
_UNSAVED: Final = "unsaved"
_OUT: Final = frozenset({FailureKind.AUTHENTICATION, FailureKind.QUOTA})

log = structlog.get_logger("providers")


@dataclass(slots=True)
class _Due:
    """When a provider is probed next, on the monotonic clock; ``state`` is what was known when that was decided."""

    state: State
    at: float = -math.inf
    ended: float = -math.inf
    """When the last probe ended."""
    running: bool = False


class Prober:
    """Probes everybody who is due while it holds the lease, and whom it is asked to."""

    def __init__(
        self,
        fold: ProvidersFold,
        board: HealthBoard,
        api: VendorApi,
        credentials: Credentials,
        lease: Lease,
        *,
        local_model: bool,
        clock: Clock,
        recovered: Callable[[str], None],
    ) -> None:
        """``recovered`` is told the id of a provider that answers again."""
        self._fold = fold
        self._board = board
        self._api = api
        self._credentials = credentials
        self._lease = lease
        self._local_model = local_model
        self._clock = clock
        self._recovered = recovered
        self._due: dict[str, _Due] = {}
        self._failed: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to probe."""
        self._run(self._probe_all(), "probes")

    async def stop(self) -> None:
        """End."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def problems(self) -> list[str]:
        """Return why nobody watches over health; empty: it is watched."""
        return [f"{name} stopped: {why}" for name, why in self._failed.items()]

    async def probe(self, view: ProviderView) -> Probed:
        """Probe now because somebody asks: with rejected credentials too, which are in use again if they are taken."""
        state = self._board.state(view.id)
        probed = await self._ask(view, await self._credentials.all(view))
        self._note(view, state, probed)
        return probed

    async def try_out(self, spec: ProviderSpec, secret: str | None) -> tuple[Probed, HealthState, str]:
        """Probe what is not saved, with a credential that is not kept; returns health and why as well."""
        view = ProviderView(_UNSAVED, spec)
        usable = await self._credentials.all(view) if secret is None else [Usable(_UNSAVED, Secret(secret))]
        probed = await self._ask(view, usable)
        if probed.reason == NO_CREDENTIAL:
            return probed, "unknown", probed.reason
        return probed, *health_of(probed, spec.options.degraded_after_s)

    def _note(self, view: ProviderView, state: State, probed: Probed) -> None:
        if self._board.state(view.id) is not state:
            return  # the provider was changed meanwhile
        was = state.health
        self._board.probed(view, probed)
        if was == "unhealthy" and state.health in ("healthy", "degraded"):
            self._recovered(view.id)

    async def _ask(self, view: ProviderView, credentials: list[Usable]) -> Probed:
        """Return the best of what the probes with every credential show."""
        vendor = VENDORS[view.spec.vendor]
        if vendor.slug == "local":
            return Probed(200, 0.0) if self._local_model else Probed(None, 0.0, "it is not installed or switched off")
        if vendor.credential == "none" or not credentials:
            return await self._ask_with(view, None)
        probes = await asyncio.gather(*(self._ask_with(view, usable) for usable in credentials))
        return best(probes, view.spec.options.degraded_after_s)

    async def _ask_with(self, view: ProviderView, credential: Usable | None) -> Probed:
        began = self._clock.monotonic()
        status, reason, retry_after_ms = 200, "", None
        limit_s = view.spec.options.probe_timeout_s
        vendor = VENDORS[view.spec.vendor]
        try:
            async with asyncio.timeout(limit_s):
                await self._api.get(view, vendor.models_path or "", limit_s=limit_s, credential=credential)
        except VendorAnswered as error:
            status, retry_after_ms = vendor.probed(error.status), error.fail.retry_after_ms
            if credential is not None and vendor.models_path is not None and error.fail.kind in _OUT:
                self._credentials.failed(view, credential, error.fail)
        except NoCredential:
            status, reason = None, NO_CREDENTIAL
        except TimeoutError:
            status, reason = None, f"no answer in {limit_s:g} s"
        except OSError as error:
            status, reason = None, str(error) or type(error).__name__
        except ValueError as error:
            reason = str(error)
        if status == 200 and credential is not None and vendor.models_path is not None:
            self._credentials.accepted(view, credential.id)
        return Probed(status, self._clock.monotonic() - began, reason, retry_after_ms)

    async def _turn(self, view: ProviderView, due: _Due) -> None:
        """Probe a provider whose time has come; behind an open breaker it is the one try."""
        probed: Probed | None = None
        try:
            usable = await self._credentials.all(view)
            sent = [item for item in usable if self._credentials.standing(view, item.id).state != "rejected"]
            if usable and not sent:
                return  # only a person can help
            permit = self._board.admit(view)
            probed = await self._ask(view, sent)
            if not self._lease.held:
                return  # somebody else probes by now
            self._note(view, due.state, probed)
            outcome = outcome_of_probe(probed)
            if probed.reason == NO_CREDENTIAL or (due.state.breaker.state == "closed" and outcome == "success"):
                outcome = "neutral"  # a list of models does not make up for answers that fail
            if permit is not None:
                self._board.settle(view, permit, outcome)
        finally:
            due.at = self._next(view, probed)
            due.ended = self._clock.monotonic()
            due.running = False

    def _next(self, view: ProviderView, probed: Probed | None) -> float:
        now = self._clock.monotonic()
        spread = 1 + random.uniform(-_JITTER, _JITTER)  # noqa: S311  keeps probes apart, decides nothing
        at = now + view.spec.options.probe_interval_s * spread
        if probed is not None and probed.retry_after_ms is not None:
            return max(at, now + probed.retry_after_ms / 1_000)
        return at

    async def _probe_all(self) -> None:
        while True:
            pause_s = _LOOK_S
            if self._lease.held:
                views = {view.id: view for view in self._fold.all() if view.spec.enabled}
                for gone in self._due.keys() - views.keys():
                    del self._due[gone]
                for view in views.values():
                    pause_s = min(pause_s, self._look(view))
            await asyncio.sleep(max(pause_s, _SHORTEST_S))

    def _look(self, view: ProviderView) -> float:
        """Probe a provider if it is due, and return how long it may be left alone."""
        due, now = self._due_of(view), self._clock.monotonic()
        if due.running:
            return math.inf
        at = due.at
        reopens = reopens_at(due.state.breaker, rules_of(view))
        if reopens is not None and reopens > due.ended:
            at = min(at, reopens)
        if now >= at:
            due.running = True
            self._run(self._turn(view, due), f"probe {view.spec.slug}")
        return at - now

    def _due_of(self, view: ProviderView) -> _Due:
        """Return when a provider is due; one that was changed is at once."""
        state, due = self._board.state(view.id), self._due.get(view.id)
        if due is None or due.state is not state:
            due = self._due[view.id] = _Due(state)
        return due

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("health task failed", task=task.get_name(), error=str(error))
            self._failed[task.get_name()] = str(error)
