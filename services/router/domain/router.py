"""A router: what may happen to it, what it then is, and what its specification must be like."""

import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from services.router.domain.strategies import STRATEGIES
from shared.contracts.catalog import Capability
from shared.contracts.config import (
    AutomaticOrder,
    Fallback,
    ManualOrder,
    ModelFilters,
    Range,
    RouterCreated,
    RouterDeleted,
    RouterReplaced,
    RouterSpec,
    Strategy,
)
from shared.contracts.envelope import EventData
from shared.contracts.plan import MAX_CANDIDATES
from shared.kernel.errors import Refusal
from shared.kernel.ids import RouterId
from shared.log.aggregates import Decider, Decision
from shared.routing.ordering import SPREADS

SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
MAX_NAME: Final = 200
_CAPABILITIES: Final = tuple(capability.value for capability in Capability)
MAX_PATTERNS: Final = 1_000
MAX_WEIGHT: Final = 1_000_000.0
MAX_ATTEMPTS: Final = Fallback().max_attempts
MAX_ATTEMPTS_PER_CANDIDATE: Final = Fallback().max_attempts_per_candidate
MAX_TIMEOUT_MS: Final = 24 * 60 * 60 * 1_000


class RouterState(Enum):
    """Where a router is in its life; one that was deleted never comes back."""

    ABSENT = "absent"
    PRESENT = "present"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Router:
    """A router as its events tell."""

    state: RouterState = RouterState.ABSENT
    id: RouterId | None = None
    spec: RouterSpec | None = None
    default: bool = False


@dataclass(frozen=True, slots=True)
class CreateRouter:
    """Make a router."""

    id: RouterId
    spec: RouterSpec
    default: bool = False
    """Whether it is one of those that exist from the first start."""


@dataclass(frozen=True, slots=True)
class ReplaceRouter:
    """Make a router as ``spec`` says; ``used_by`` names who refers to it by its slug."""

    spec: RouterSpec
    used_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteRouter:
    """Remove a router; ``used_by`` names who refers to it by its slug."""

    used_by: tuple[str, ...] = ()


RouterCommand = CreateRouter | ReplaceRouter | DeleteRouter


def decide(command: RouterCommand, router: Router) -> Decision:
    """Return the events of ``command``, or why it is refused."""
    if isinstance(command, CreateRouter):
        return _create(command, router)
    if router.state is not RouterState.PRESENT or router.id is None or router.spec is None:
        return Refusal("router_not_found", "there is no such router", 404)
    match command:
        case ReplaceRouter(spec) if spec == router.spec:
            return []
        case ReplaceRouter(spec, used_by) if used_by and spec.slug != router.spec.slug:
            return _in_use(f"the slug of router {router.spec.slug!r} cannot change", used_by)
        case ReplaceRouter(spec):
            return problem_of(spec) or [RouterReplaced(router_id=router.id, spec=spec)]
        case DeleteRouter(used_by) if used_by:
            return _in_use(f"router {router.spec.slug!r} cannot be deleted", used_by)
        case DeleteRouter():
            return [RouterDeleted(router_id=router.id)]


def evolve(router: Router, event: EventData) -> Router:
    """Return the router after ``event``."""
    match event:
        case RouterCreated(router_id=identity, spec=spec, default=default):
            return Router(RouterState.PRESENT, RouterId(identity), spec, default)
        case RouterReplaced(spec=spec):
            return Router(router.state, router.id, spec, router.default)
        case RouterDeleted():
            return Router(RouterState.DELETED, router.id, None, router.default)
        case _:
            return router


def _name_of(router: Router) -> str | None:
    return None if router.spec is None else router.spec.slug


ROUTER: Final[Decider[Router, RouterCommand]] = Decider(
    kind="router", initial=Router, decide=decide, evolve=evolve, name_of=_name_of
)


def _create(command: CreateRouter, router: Router) -> Decision:
    match router.state:
        case RouterState.PRESENT:
            return Refusal("router_exists", f"router {command.id} exists already")
        case RouterState.DELETED:
            return Refusal("router_deleted", f"router {command.id} existed and was deleted")
        case RouterState.ABSENT:
            event = RouterCreated(router_id=command.id, spec=command.spec, default=command.default)
            return problem_of(command.spec) or [event]


def _in_use(what: str, used_by: tuple[str, ...]) -> Refusal:
    return Refusal("router_in_use", f"{what}: it is used by {', '.join(used_by)}")


def problem_of(spec: RouterSpec) -> Refusal | None:
    """Return the first thing that is wrong with a specification, naming what is allowed; None: nothing is."""
    if not spec.name.strip() or len(spec.name) > MAX_NAME or not spec.name.isprintable():
        return _invalid("invalid_name", f"name: 1 to {MAX_NAME} printable characters are allowed")
    if not SLUG.fullmatch(spec.slug):
        what = f"slug {spec.slug!r}" if spec.slug else f"slug: none can be made of the name {spec.name!r}, give one"
        return _invalid(
            "invalid_slug", f"{what}: 1 to 63 lower-case letters, digits and inner hyphens are allowed, as 'low-cost'"
        )
    return (
        _order_problem(spec.order)
        or _selection_problem(spec)
        or _filters_problem(spec.filters)
        or _fallback_problem(spec.fallback)
    )


def _invalid(code: str, message: str) -> Refusal:
    return Refusal(code, message, 422)


def _order_problem(order: AutomaticOrder | ManualOrder) -> Refusal | None:
    if isinstance(order, ManualOrder):
        return _manual_problem(order.models)
    if not order.strategies:
        return _invalid("empty_order", f"order.strategies: name at least one of {_known()}")
    names = [strategy.name for strategy in order.strategies]
    if len(set(names)) < len(names):
        return _invalid("repeated_strategy", "order.strategies: a second mention of a strategy changes nothing")
    if len([name for name in names if name in SPREADS]) > 1:
        return _invalid("two_spreads", f"order.strategies: only one of {' and '.join(SPREADS)} can decide")
    for place, strategy in enumerate(order.strategies):
        problem = _strategy_problem(strategy, place)
        if problem is not None:
            return problem
    return None


def _manual_problem(models: tuple[str, ...]) -> Refusal | None:
    if not models:
        return _invalid("empty_order", "order.models: a manual order lists at least one model")
    if len(models) > MAX_CANDIDATES:
        return _invalid("order_too_long", f"order.models: at most {MAX_CANDIDATES} models are allowed")
    if len(set(models)) < len(models):
        return _invalid("repeated_model", "order.models: a model stands at one place only")
    for model in models:
        provider, slash, native = model.partition("/")
        if not (provider and slash and native):
            return _invalid("invalid_model", f"order.models: {model!r} is not of the form <provider>/<model>")
    return None


def _strategy_problem(strategy: Strategy, place: int) -> Refusal | None:
    where = f"order.strategies[{place}]"
    if strategy.name not in STRATEGIES and strategy.name not in SPREADS:
        return _invalid("unknown_strategy", f"{where}.name: {strategy.name!r} is unknown, allowed are {_known()}")
    if strategy.weights and strategy.name != "weighted":
        return _invalid("invalid_weight", f"{where}.weights: only weighted takes weights, not {strategy.name}")
    for pattern, weight in strategy.weights.items():
        if not 0 <= weight <= MAX_WEIGHT:
            return _invalid(
                "invalid_weight", f"{where}.weights[{pattern!r}]: {weight:g}, 0 to {MAX_WEIGHT:g} is allowed"
            )
    if len(strategy.weights) > MAX_PATTERNS or "" in strategy.weights:
        return _invalid("invalid_weight", f"{where}.weights: at most {MAX_PATTERNS} patterns over <provider>/<model>")
    if not 0 <= strategy.tolerance < 1:
        return _invalid(
            "invalid_tolerance", f"{where}.tolerance: {strategy.tolerance:g}, at least 0 and less than 1 is allowed"
        )
    return None


def _known() -> str:
    return ", ".join(sorted((*STRATEGIES, *SPREADS)))


def _selection_problem(spec: RouterSpec) -> Refusal | None:
    for where, patterns in (("models.include", spec.models.include), ("models.exclude", spec.models.exclude)):
        if len(patterns) > MAX_PATTERNS:
            return _invalid("too_many_patterns", f"{where}: at most {MAX_PATTERNS} patterns are allowed")
        if "" in patterns:
            return _invalid("invalid_pattern", f"{where}: a pattern is <provider>/<model> with * for any text")
    if not spec.models.include:
        return _invalid("empty_selection", "models.include: at least one pattern, such as '*'")
    return None


def _filters_problem(filters: ModelFilters) -> Refusal | None:
    ranges = (("parameters_b", filters.parameters_b), ("context", filters.context), ("price", filters.price))
    for name, bounds in ranges:
        if not _is_range(bounds):
            return _invalid(
                "invalid_range", f"filters.{name}: numbers of at least 0 are allowed, min not larger than max"
            )
    for capability in filters.capabilities:
        if capability not in _CAPABILITIES:
            allowed = ", ".join(_CAPABILITIES)
            return _invalid(
                "unknown_capability", f"filters.capabilities: {capability!r} is unknown, allowed are {allowed}"
            )
    return None


def _is_range(bounds: Range) -> bool:
    ends = [end for end in (bounds.min, bounds.max) if end is not None]
    return all(math.isfinite(end) and end >= 0 for end in ends) and ends == sorted(ends)


def _fallback_problem(fallback: Fallback) -> Refusal | None:
    limits: dict[str, Any] = {
        "max_attempts": MAX_ATTEMPTS,
        "max_attempts_per_candidate": MAX_ATTEMPTS_PER_CANDIDATE,
        "connect_ms": MAX_TIMEOUT_MS,
        "first_token_ms": MAX_TIMEOUT_MS,
        "first_token_slow_ms": MAX_TIMEOUT_MS,
        "idle_ms": MAX_TIMEOUT_MS,
        "total_ms": MAX_TIMEOUT_MS,
    }
    for name, most in limits.items():
        if not 1 <= getattr(fallback, name) <= most:
            found = getattr(fallback, name)
            return _invalid("invalid_fallback", f"fallback.{name}: {found}, 1 to {most} is allowed")
    for name, least, most in _RETRYING:
        if not least <= getattr(fallback, name) <= most:
            found = getattr(fallback, name)
            return _invalid("invalid_fallback", f"fallback.{name}: {found:g}, {least} to {most} is allowed")
    return None


_RETRYING: Final = (("backoff_ms", 1, 5_000), ("short_retry_after_ms", 0, 30_000), ("retry_share", 0, 1))
"""Name, least and most."""
