"""What ``model`` in a request means for a key: the plan it leads to, or a refusal that says why."""

from typing import Final, Protocol, cast

import msgspec

from services.gateway.domain.errors import bad_request, forbidden, model_not_found, no_candidate
from shared.contracts.catalog import Model
from shared.contracts.config import Target
from shared.contracts.plan import Candidate, Plan, Reason, plan_hash
from shared.routing.compile import direct_plan

ROUTER_PREFIX: Final = "router/"
MAX_MODELS: Final = 32


class Permits(Protocol):
    """A key, as far as its target and allow-list go."""

    def permits(self, name: str) -> bool:
        """Whether the key may name ``name``."""
        ...


class Plans(Protocol):
    """Plans by router slug."""

    def get(self, slug: str) -> Plan | None:
        """Return the plan of a router."""
        ...


class Models(Protocol):
    """The catalog by id."""

    def get(self, model_id: str) -> Model | None:
        """Return a model by ``<provider>/<native id>``."""
        ...

    def named(self, native_id: str) -> list[Model]:
        """Return the models with this native id."""
        ...


def resolve(name: str, key: Permits, target: Target, plans: Plans, models: Models) -> Plan:
    """Return the plan that ``name`` leads to; raises ApiError (404 unknown, 403 not allowed, 503 target gone).

    A bare name (``auto``, ``gpt-4o``) reaches an allowed model of that id if there is exactly one, else the key's
    target; a name with a slash is obeyed or refused.
    """
    if "/" not in name:
        allowed = [model for model in models.named(name) if key.permits(model.id)]
        return direct_plan(allowed[0]) if len(allowed) == 1 else plan_of_target(target, plans, models)
    if name.startswith(ROUTER_PREFIX):
        plan = plans.get(name.removeprefix(ROUTER_PREFIX))
    else:
        model = models.get(name)
        plan = None if model is None else direct_plan(model)
    if plan is None:
        raise model_not_found(name)
    if not key.permits(name):
        raise forbidden("model_not_allowed", f"This key may not use '{name}'.")
    return plan


def plan_of_target(target: Target, plans: Plans, models: Models) -> Plan:
    """Return the plan of a key's own target; raises ApiError (503) when it is not there now."""
    if target.router is not None:
        plan = plans.get(target.router)
        if plan is None:
            raise no_candidate(f"This key's router '{target.router}' has no plan yet.")
        return plan
    model = models.get(target.model or "")
    if model is None:
        raise no_candidate(f"This key's model '{target.model}' is not in the catalog now.")
    return direct_plan(model)


def merge(plans: list[Plan]) -> Plan:
    """Return one plan that tries the candidates of several in order, each candidate once."""
    candidates: dict[str, Candidate] = {}
    for place, plan in enumerate(plans, 1):
        listed = Reason("listed", place, f"place {place} of the request's list")
        for candidate in plan.candidates:
            if candidate.model not in candidates:
                reasons = (listed, *candidate.reasons)
                candidates[candidate.model] = msgspec.structs.replace(candidate, reasons=reasons)
    merged = msgspec.structs.replace(plans[0], router_id="", slug="", candidates=tuple(candidates.values()))
    return msgspec.structs.replace(merged, hash=plan_hash(merged))


def requested_names(body: dict[str, object]) -> list[str]:
    """Return ``models`` or ``model`` of a request; raises ApiError (400) for a missing or wrong one."""
    listed = body.get("models")
    if listed is not None:
        names = cast("list[object]", listed) if isinstance(listed, list) else []
        if not 0 < len(names) <= MAX_MODELS:
            raise bad_request(f"'models' must be a list of 1 to {MAX_MODELS} names.", param="models")
        return [_name(item, "models") for item in names]
    if "model" not in body:
        raise bad_request("You must provide a model parameter.", param="model", code="missing_required_parameter")
    return [_name(body["model"], "model")]


def _name(value: object, param: str) -> str:
    if not isinstance(value, str) or not value or len(value) > 512 or not value.isprintable():
        raise bad_request(f"'{param}' must name a model with 1 to 512 printable characters.", param=param)
    return value
