"""``/v1/models``: what the caller's key can reach, in OpenAI's shape."""

from typing import Any

import msgspec

from services.gateway.api.exchange import Exchange
from services.gateway.domain.errors import model_not_found
from services.gateway.projections.keys import KnownKey
from services.gateway.projections.routes import Catalog, Plans


async def answer_models(path: str, key: KnownKey, exchange: Exchange, plans: Plans, catalog: Catalog) -> None:
    """Answer the list, or one model of it; raises ApiError 404."""
    if path in ("/v1/models", "/v1/models/"):
        body: dict[str, Any] = {"object": "list", "data": _reachable(key, plans, catalog)}
    else:
        body = _one(path.removeprefix("/v1/models/"), key, plans, catalog)
    raw = msgspec.json.encode(body)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(raw)).encode()),
        (b"x-request-id", exchange.public_id),
    ]
    await exchange.start(200, headers)
    await exchange.send({"type": "http.response.body", "body": raw})


def _reachable(key: KnownKey, plans: Plans, catalog: Catalog) -> list[dict[str, Any]]:
    created = int(key.created_at.timestamp())
    routers = [f"router/{plan.slug}" for plan in plans.all()]
    listed = [_model(name, "localrouter", created) for name in sorted(routers) if key.permits(name)]
    return listed + [_model(model.id, model.provider, created) for model in catalog.all() if key.permits(model.id)]


def _one(name: str, key: KnownKey, plans: Plans, catalog: Catalog) -> dict[str, Any]:
    if key.permits(name):
        created = int(key.created_at.timestamp())
        model = catalog.get(name)
        if model is not None:
            return _model(model.id, model.provider, created)
        if name.startswith("router/") and plans.get(name.removeprefix("router/")) is not None:
            return _model(name, "localrouter", created)
    raise model_not_found(name)


def _model(name: str, owner: str, created: int) -> dict[str, Any]:
    """``created`` is the key's own time: vendors' dates are not known, and OpenAI's clients expect a number."""
    return {"id": name, "object": "model", "created": created, "owned_by": owner}
