"""Which candidates of a plan take a request now, in which order, and why the others do not."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from shared.contracts.plan import Candidate, Plan
from shared.contracts.usage import Exclusion, Needs
from shared.kernel.clock import rfc3339
from shared.routing.health import ProviderHealth


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidates to try, in this order, and those that were passed over."""

    order: tuple[Candidate, ...]
    excluded: tuple[Exclusion, ...]
    held: str | None = None
    """The model that was put first because it holds the conversation."""
    busy: Mapping[str, int] | None = None
    """The requests in flight by which equals were ordered, where they were."""


CAUSES: Final = frozenset({"breaker_open", "unhealthy", "cooling", "context_window", "max_output", "capabilities"})
"""Why a candidate is passed over here; a key's policy may pass over more."""
_FINE: Final = ProviderHealth()


_NOBODY: Final[Mapping[str, int]] = {}


def choose(
    plan: Plan,
    needs: Needs,
    health: Mapping[str, ProviderHealth],
    *,
    now: datetime,
    request_id: str = "",
    in_flight: Mapping[str, int] = _NOBODY,
    held: str | None = None,
) -> Choice:
    """Return the candidates of ``plan`` that fit ``needs``, the healthy ones first; ``health`` is by provider id.

    Within one state of health the plan's order stands: healthy and unknown, then degraded, then half-open. Left out
    are providers that are unhealthy, cooling or behind an open breaker, and models that lack a needed capability or
    are known to be too small; who chats can complete, since a prompt is one message. A plan for one model (no router)
    leaves the model's fitness to the vendor's answer: what the user named is not refused on the catalog's word.
    ``excluded`` names the candidates that a request could have reached: those behind as many healthy ones as it has
    attempts are left unnamed, so records stay small.

    ``request_id`` decides among equals of a ``weighted`` plan, ``in_flight`` (requests by model) among those of a
    ``least_busy`` one; ``held`` is the model that holds the conversation, which goes first while it is healthy.
    """
    healthy: list[Candidate] = []
    degraded: list[Candidate] = []
    half_open: list[Candidate] = []
    excluded: list[Exclusion] = []
    reach = plan.fallback.max_attempts
    fitted = plan.router_id != ""
    capabilities = needs.capabilities
    output_tokens = needs.output_tokens or 0
    tokens = needs.input_tokens + output_tokens
    for candidate in plan.candidates:
        state = health.get(candidate.provider_id, _FINE)
        cause = value = None
        if state.breaker == "open":
            cause, value = "breaker_open", "open"
        elif state.health == "unhealthy":
            cause, value = "unhealthy", "unhealthy"
        elif state.cool_until is not None and state.cool_until > now:
            cause, value = "cooling", rfc3339(state.cool_until)
        elif fitted:
            window, most = candidate.context_window, candidate.max_output
            if window is not None and tokens > window:
                cause, value = "context_window", str(window)
            elif most is not None and output_tokens > most:
                cause, value = "max_output", str(most)
            else:
                has = candidate.capabilities
                for capability in capabilities:
                    if capability not in has and not (capability == "completion" and "chat" in has):
                        cause, value = "capabilities", capability
                        break
        if cause is not None:
            if len(healthy) < reach:
                excluded.append(Exclusion(provider=candidate.provider, model=candidate.model, cause=cause, value=value))
        elif state.breaker == "half_open":
            half_open.append(candidate)
        elif state.health == "degraded":
            degraded.append(candidate)
        else:
            healthy.append(candidate)
    busy = None
    if plan.spread:
        spread = _Spread(plan.spread, request_id, in_flight)
        for state in (healthy, degraded, half_open):
            state.sort(key=spread.place)
        busy = spread.busy
    order = (*healthy, *degraded, *half_open)
    if held is not None and order and order[0].model != held:
        place = next((place for place, item in enumerate(healthy) if item.model == held), None)
        if place is None:
            held = None
        else:
            order = (order[place], *order[:place], *order[place + 1 :])
    return Choice(order, tuple(excluded), held if order else None, busy)


def one_model(plan: Plan) -> Plan:
    """Return a plan that never leaves its first model that makes vectors: another one's would not compare.

    Health has no say in which one that is: a model that is away is waited for, not replaced.
    """
    first = next((item for item in plan.candidates if "embedding" in item.capabilities), None)
    if first is None or len(plan.candidates) == 1:
        return plan
    return msgspec.structs.replace(plan, candidates=(first,))


class _Spread:
    """Orders the equals of a band by the request itself; the sort is stable, so what ties keeps the plan's order."""

    def __init__(self, how: str, request_id: str, in_flight: Mapping[str, int]) -> None:
        self.busy: dict[str, int] | None = {} if how == "least_busy" else None
        self._request_id = request_id
        self._in_flight = in_flight

    def place(self, candidate: Candidate) -> tuple[int, float]:
        if self.busy is None:
            return candidate.band, weighted_place(self._request_id, candidate.model, candidate.weight)
        running = self._in_flight.get(candidate.model, 0)
        if running:
            self.busy[candidate.model] = running
        return candidate.band, running


def weighted_place(request_id: str, model: str, weight: float) -> float:
    """Return a number by which equals are ordered, the smallest first: each comes first in its share of requests.

    Weighted rendezvous hashing (https://www.snia.org/sites/default/files/SDC15_presentations/dist_sys/
    Jason_Resch_New_Consistent_Hashings_Rev.pdf): adding or losing a candidate moves only its own requests.
    """
    if weight <= 0:
        return math.inf
    digest = hashlib.blake2b(f"{request_id}\0{model}".encode(), digest_size=8).digest()
    return -math.log((int.from_bytes(digest) + 0.5) / 2**64) / weight
