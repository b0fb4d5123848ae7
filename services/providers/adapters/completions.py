"""The ``Completions`` port as the providers service itself has it: who is asked, in which words, if at all."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final

from services.providers.adapters.attempt import Attempt, LocalModel, Ways, unavailable
from services.providers.adapters.credentials import Credentials
from services.providers.adapters.traffic import TrafficWatch
from services.providers.adapters.upstream import Upstream
from services.providers.domain.dialect import Answered
from services.providers.domain.registry import VENDORS
from services.providers.domain.translate import translated
from services.providers.domain.vendor import Vendor
from services.providers.projections.providers import ProviderView
from shared.contracts.frames import Completion, Fail, Frame, Tail
from shared.kernel.clock import Clock

_ENDS: Final = (Tail, Fail)
_NOTHING: Final = contextlib.nullcontext()


class UpstreamCompletions:
    """The ``Completions`` port over the vendors' HTTP APIs."""

    def __init__(
        self,
        *,
        find: Callable[[str], ProviderView | None],
        upstream: Upstream,
        credentials: Credentials,
        local_model: LocalModel | None,
        traffic: TrafficWatch,
        clock: Clock,
    ) -> None:
        self._find = find
        self._ways = Ways(upstream, credentials, local_model, clock)
        self._traffic = traffic
        self._clock = clock

    async def complete(self, request: Completion) -> AsyncGenerator[Frame, None]:
        """Make one attempt; see ``Completions``."""
        view = self._find(request.provider_id)
        if view is None or not view.spec.enabled:
            yield unavailable(f"provider {request.provider_id} is not here or not enabled")
            return
        vendor = VENDORS[view.spec.vendor]
        out = translated(request, vendor, int(self._clock.now().timestamp()))
        if isinstance(out, Fail):
            yield out
            return
        if isinstance(out, Answered):
            for frame in out.frames:
                yield frame
            return
        permit = self._traffic.admit(view)
        if permit is None:
            yield unavailable(f"provider {view.spec.slug} failed too often and is left alone for a while")
            return
        attempt = Attempt(request, view, vendor, out, self._ways)
        outcome: Fail | Tail | None = None
        started = self._clock.monotonic()
        with self._in_use(vendor):
            try:
                while outcome is None:
                    for frame in await attempt.frames():
                        if isinstance(frame, _ENDS):
                            outcome = frame
                        yield frame
            finally:
                self._traffic.ended(view, permit, request, outcome, self._clock.monotonic() - started)
                await attempt.close()

    def _in_use(self, vendor: Vendor) -> contextlib.AbstractContextManager[None]:
        if vendor.slug == "local" and self._ways.local_model is not None:
            return self._ways.local_model.using()
        return _NOTHING
