"""The lists of models: what the caller's key can reach, in the shape of the face that asks."""

from typing import Any, Final

import msgspec

from services.gateway.api.exchange import Exchange
from services.gateway.domain.asked import parse_object
from services.gateway.domain.destination import requested_names, resolve
from services.gateway.domain.errors import model_not_found
from services.gateway.domain.faces.anthropic import ANTHROPIC
from services.gateway.domain.faces.lists import (
    OLLAMA_VERSION,
    Known,
    anthropic_list,
    anthropic_model,
    ollama_list,
    ollama_show,
    openai_list,
    openai_model,
)
from services.gateway.projections.keys import KnownKey
from services.gateway.projections.routes import Catalog, Plans
from shared.contracts.catalog import Model
from shared.contracts.plan import Plan
from shared.routing.compile import candidate_of

SHOW: Final = "/api/show"
"""The one of them that is asked by POST."""
_MODEL: Final = "/v1/models/"
_PATHS: Final = frozenset({"/v1/models", _MODEL, "/api/tags", "/api/version", SHOW})


def is_list(path: str) -> bool:
    """Return whether a path tells of models."""
    return path in _PATHS or path.startswith(_MODEL)


async def answer_models(
    path: str, body: bytes, key: KnownKey, exchange: Exchange, plans: Plans, catalog: Catalog
) -> None:
    """Answer what ``path`` tells; raises ApiError (400, 403, 404)."""
    raw = msgspec.json.encode(_told(path, body, exchange, _Reach(key, plans, catalog)))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(raw)).encode()),
        *exchange.id_headers(),
    ]
    await exchange.start(200, headers)
    await exchange.send({"type": "http.response.body", "body": raw})


class _Reach:
    """What a key can name."""

    def __init__(self, key: KnownKey, plans: Plans, catalog: Catalog) -> None:
        self.key = key
        self.plans = plans
        self.catalog = catalog

    def all(self) -> list[Known]:
        permits = self.key.permits
        plans = sorted(self.plans.all(), key=lambda plan: plan.slug)
        routers = [self.router(plan) for plan in plans if permits(f"router/{plan.slug}")]
        return routers + [self.model(model) for model in self.catalog.all() if permits(model.id)]

    def one(self, name: str) -> Known:
        if self.key.permits(name):
            model = self.catalog.get(name)
            if model is not None:
                return self.model(model)
            plan = self.plans.get(name.removeprefix("router/")) if name.startswith("router/") else None
            if plan is not None:
                return self.router(plan)
        raise model_not_found(name)

    def meant(self, name: str) -> Known:
        """Return what a request for ``name`` would reach: a bare name is the key's target where it is no model's."""
        plan = resolve(name, self.key, self.key.options.target, self.plans, self.catalog)
        if plan.slug:
            return self.router(plan)
        model = self.catalog.get(plan.candidates[0].model)
        if model is None:
            raise model_not_found(name)
        return self.model(model)

    def model(self, model: Model) -> Known:
        return Known(
            name=model.id,
            owner=model.provider,
            created=self.key.created_at,
            candidates=(candidate_of(model),),
            quantization=model.quantization,
        )

    def router(self, plan: Plan) -> Known:
        name = f"router/{plan.slug}"
        return Known(name=name, owner="localrouter", created=self.key.created_at, candidates=plan.candidates)


def _told(path: str, body: bytes, exchange: Exchange, reach: _Reach) -> dict[str, Any]:
    if path == "/api/version":
        return {"version": OLLAMA_VERSION}
    if path == "/api/tags":
        return ollama_list(reach.all())
    if path == SHOW:
        asked = parse_object(body)
        wanted = {"model": asked["name"]} if "model" not in asked and "name" in asked else asked
        return ollama_show(reach.meant(requested_names(wanted)[0]))
    anthropic = exchange.face is ANTHROPIC
    name = path.removeprefix(_MODEL)
    if path == "/v1/models" or not name:
        return anthropic_list(reach.all()) if anthropic else openai_list(reach.all())
    return anthropic_model(reach.one(name)) if anthropic else openai_model(reach.one(name))
