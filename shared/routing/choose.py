"""Which candidates of a plan take a request now, in which order, and why the others do not."""

import hashlib
import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from shared.contracts.plan import MAX_CANDIDATES, Candidate, Plan
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
_64_BITS: Final = 2**64 - 1
_NOBODY: Final[Mapping[str, int]] = {}
_MOST_PLANS: Final = 4_096
_MOST_NEEDS: Final = 256
"""Kinds of needs that are remembered of one plan."""

_Kind = tuple[tuple[str, ...], int, int]
"""Capabilities, and between which of the plan's windows and limits of output the request lies."""


class Fitting:
    """What of one plan fits needs of one kind."""

    __slots__ = ("candidates", "entries", "named", "sorted")

    def __init__(self, plan: Plan, needs: Needs) -> None:
        fitted = plan.router_id != ""
        entries = [(item, _unfit(item, needs) if fitted else None) for item in plan.candidates]
        self.entries = entries
        """Every candidate, and why it does not fit."""
        self.candidates = tuple(item for item, unfit in entries if unfit is None)
        before, named = 0, list[Exclusion]()
        for _, unfit in entries:
            if unfit is None:
                before += 1
            elif before < plan.fallback.max_attempts:
                named.append(unfit)
        self.named = tuple(named)
        """Those within reach that do not fit, where every provider is well."""
        self.sorted: tuple[_Troubles, _Sorted] | None = None
        """What came of it for the troubles that were met last: they last longer than requests do."""


class _Known:
    """A plan, and what was found out about it."""

    __slots__ = ("kinds", "outputs", "plan", "providers", "windows")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.providers = frozenset(item.provider_id for item in plan.candidates)
        self.windows = sorted({item.context_window for item in plan.candidates if item.context_window is not None})
        self.outputs = sorted({item.max_output for item in plan.candidates if item.max_output is not None})
        self.kinds: dict[_Kind, Fitting] = {}

    def fitting(self, needs: Needs) -> Fitting:
        output_tokens = needs.output_tokens or 0
        window = bisect_left(self.windows, needs.input_tokens + output_tokens)
        kind = needs.capabilities, window, bisect_left(self.outputs, output_tokens)
        found = self.kinds.get(kind)
        if found is None:
            if len(self.kinds) >= _MOST_NEEDS:
                self.kinds.clear()
            found = self.kinds[kind] = Fitting(self.plan, needs)
        return found


class Warm:
    """Remembers what of the plans in use fits which needs: most requests ask for what others asked for before."""

    def __init__(self) -> None:
        self._plans: dict[int, _Known] = {}

    def known(self, plan: Plan) -> _Known:
        """Return what is known of ``plan``, which is told by its identity: plans are never changed."""
        known = self._plans.get(id(plan))
        if known is None or known.plan is not plan:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            known = self._plans[id(plan)] = _Known(plan)
        return known

    def forget(self) -> None:
        """Let go of all plans: they are replaced."""
        self._plans.clear()


def choose(
    plan: Plan,
    needs: Needs,
    health: Mapping[str, ProviderHealth],
    *,
    now: datetime,
    request_id: str = "",
    in_flight: Mapping[str, int] = _NOBODY,
    held: str | None = None,
    warm: Warm | None = None,
) -> Choice:
    """Return the candidates of ``plan`` that fit ``needs``, the healthy ones first; ``health`` is by provider id.

    Within one state of health the plan's order stands: healthy and unknown, then degraded, then half-open. Left out
    are providers that are unhealthy, cooling or behind an open breaker, and models that lack a needed capability or
    are known to be too small; who chats can complete, since a prompt is one message. A plan for one model (no router)
    leaves the model's fitness to the vendor's answer: what the user named is not refused on the catalog's word.
    ``excluded`` names the candidates that a request could have reached: those behind as many healthy ones as it has
    attempts are left unnamed, so records stay small.

    ``request_id`` decides among equals of a ``weighted`` plan, ``in_flight`` (requests by model) among those of a
    ``least_busy`` one, of which the first ``MAX_CANDIDATES`` that fit are spread; ``held`` is the model that holds the
    conversation, which goes first while it is healthy. With ``warm`` nothing is worked out twice.
    """
    known = _Known(plan) if warm is None else warm.known(plan)
    fitting = known.fitting(needs)
    troubles = {
        provider_id: trouble
        for provider_id, state in health.items()
        if provider_id in known.providers and (trouble := _trouble(state, now)) is not None
    }
    healthy, degraded, half_open, excluded = _by_health(fitting, troubles, plan.fallback.max_attempts)
    busy = None
    if plan.spread:
        spread = _Spread(plan.spread, request_id, in_flight)
        healthy, degraded, half_open = spread.over(healthy), spread.over(degraded), spread.over(half_open)
        busy = spread.busy
    order = (*healthy, *degraded, *half_open) if troubles else healthy
    if held is not None and order and order[0].model != held:
        place = next((place for place, item in enumerate(healthy) if item.model == held), None)
        if place is None:
            held = None
        else:
            order = (order[place], *order[:place], *order[place + 1 :])
    return Choice(order, excluded, held if order else None, busy)


def _by_health(fitting: Fitting, troubles: "_Troubles", reach: int) -> "_Sorted":
    """Return the healthy, degraded and half-open candidates that fit, and those within reach that are passed over."""
    if not troubles:
        return fitting.candidates, (), (), fitting.named
    last = fitting.sorted
    if last is not None and last[0] == troubles:
        return last[1]
    healthy: list[Candidate] = []
    behind: dict[str, list[Candidate]] = {_DEGRADED.cause: [], _HALF_OPEN.cause: []}
    excluded: list[Exclusion] = []
    seen = 0
    for candidate, unfit in fitting.entries:
        if len(healthy) >= reach:
            break
        seen += unfit is None
        trouble = troubles.get(candidate.provider_id)
        if trouble is not None and trouble.value is not None:
            excluded.append(_excluded(candidate, trouble.cause, trouble.value))
        elif unfit is not None:
            excluded.append(unfit)
        else:
            (healthy if trouble is None else behind[trouble.cause]).append(candidate)
    for candidate in fitting.candidates[seen:]:
        trouble = troubles.get(candidate.provider_id)
        if trouble is None:
            healthy.append(candidate)
        elif trouble.value is None:
            behind[trouble.cause].append(candidate)
    found = tuple(healthy), tuple(behind[_DEGRADED.cause]), tuple(behind[_HALF_OPEN.cause]), tuple(excluded)
    fitting.sorted = troubles, found
    return found


def _trouble(state: ProviderHealth, now: datetime) -> "_Trouble | None":
    """Return why a provider is not asked, or not at once; None: it is well."""
    if state.breaker == "open":
        return _OPEN
    if state.health == "unhealthy":
        return _UNHEALTHY
    if state.cool_until is not None and state.cool_until > now:
        return _Trouble("cooling", rfc3339(state.cool_until))
    if state.breaker == "half_open":
        return _HALF_OPEN
    return _DEGRADED if state.health == "degraded" else None


class _Trouble(NamedTuple):
    cause: str
    value: str | None
    """None: it is asked, after those that are well."""


_Candidates = tuple[Candidate, ...]
_Troubles = dict[str, _Trouble]
_Sorted = tuple[_Candidates, _Candidates, _Candidates, tuple[Exclusion, ...]]
_OPEN: Final = _Trouble("breaker_open", "open")
_UNHEALTHY: Final = _Trouble("unhealthy", "unhealthy")
_HALF_OPEN: Final = _Trouble("half_open", None)
_DEGRADED: Final = _Trouble("degraded", None)


def _unfit(candidate: Candidate, needs: Needs) -> Exclusion | None:
    """Return why a candidate is known not to do what is asked."""
    output_tokens = needs.output_tokens or 0
    window, most = candidate.context_window, candidate.max_output
    cause = value = None
    if window is not None and needs.input_tokens + output_tokens > window:
        cause, value = "context_window", str(window)
    elif most is not None and output_tokens > most:
        cause, value = "max_output", str(most)
    else:
        has = candidate.capabilities
        for capability in needs.capabilities:
            if capability not in has and not (capability == "completion" and "chat" in has):
                cause, value = "capabilities", capability
                break
    return None if cause is None or value is None else _excluded(candidate, cause, value)


def _excluded(candidate: Candidate, cause: str, value: str) -> Exclusion:
    return Exclusion(provider=candidate.provider, model=candidate.model, cause=cause, value=value)


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
        self._request = hash64.__wrapped__(request_id)
        self._in_flight = in_flight
        self._left = MAX_CANDIDATES

    def over(self, candidates: _Candidates) -> _Candidates:
        """Return ``candidates`` with the first of them spread: as many, over all calls, as a class has in a plan."""
        most, self._left = self._left, max(0, self._left - len(candidates))
        return (*sorted(candidates[:most], key=self._place), *candidates[most:])

    def _place(self, candidate: Candidate) -> tuple[int, float]:
        if self.busy is None:
            return candidate.band, weighted_place(self._request, hash64(candidate.model), candidate.weight)
        running = self._in_flight.get(candidate.model, 0)
        if running:
            self.busy[candidate.model] = running
        return candidate.band, running


def weighted_place(request: int, model: int, weight: float) -> float:
    """Return a number by which equals are ordered, the smallest first: each comes first in its share of requests.

    Both are hashes of 64 bits, see ``hash64``; what makes one number of them is the end of SplitMix64
    (https://prng.di.unimi.it/splitmix64.c). Weighted rendezvous hashing (https://www.snia.org/sites/default/files/
    SDC15_presentations/dist_sys/Jason_Resch_New_Consistent_Hashings_Rev.pdf): adding or losing a candidate moves only
    its own requests.
    """
    if weight <= 0:
        return math.inf
    mixed = request ^ model
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return -math.log(((mixed ^ (mixed >> 31)) + 0.5) / 2**64) / weight


@lru_cache(maxsize=65_536)
def hash64(text: str) -> int:
    """Return 64 bits that stand for a text, the same at every time and place."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
