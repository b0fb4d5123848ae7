"""The admin API's ``models`` and ``vendors``: list with filters, refresh."""

from typing import Annotated, Final

from fastapi import FastAPI, Query

from services.providers.api.aliases import add_aliases
from services.providers.api.ports import Desk
from services.providers.api.prices import add_prices, usd
from services.providers.api.schemas import ModelOut, RefreshOut, VendorOut, model_out, vendor_out
from services.providers.domain.registry import VENDORS
from services.providers.domain.search import Search
from services.providers.domain.vendor import Vendor
from services.providers.projections.providers import ProviderView
from shared.contracts.catalog import Capability
from shared.runtime.admin import PREFIX, Cursor, Limit, Page, Problem, decode_cursor, encode_cursor, paginate

MODELS: Final = f"{PREFIX}/models"
VENDORS_PATH: Final = f"{PREFIX}/vendors"


def add_models(app: FastAPI, desk: Desk) -> None:
    """Add the routes to ``app``."""
    add_prices(app, desk)
    add_aliases(app, desk)

    @app.get(MODELS, summary="List models")
    async def list_models(
        provider: Annotated[str | None, Query(description="A provider's slug or id")] = None,
        capability: Annotated[list[Capability] | None, Query(description="Each of them is needed")] = None,
        min_parameters_b: Annotated[float | None, Query(ge=0)] = None,
        max_parameters_b: Annotated[float | None, Query(ge=0)] = None,
        min_context: Annotated[int | None, Query(ge=0)] = None,
        max_price: Annotated[
            str | None, Query(description="USD per million tokens, the larger of input and output price")
        ] = None,
        q: Annotated[str | None, Query(max_length=200, description="Words, each of which the id holds")] = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Page[ModelOut]:
        if provider is not None:
            _known(desk, provider)
        search = Search(
            provider=provider,
            capabilities=tuple(capability or ()),
            min_parameters_b=min_parameters_b,
            max_parameters_b=max_parameters_b,
            min_context=min_context,
            max_price=None if max_price is None else usd("max_price", max_price),
            text=q,
        )
        found = desk.catalog.models().find(search, limit=limit + 1, after=decode_cursor(cursor))
        page = found[:limit]
        following = encode_cursor(page[-1].id) if len(found) > limit else None
        items = [
            model_out(model, desk.health.shown(model.provider_id)[0], stale=desk.catalog.stale(model.provider_id))
            for model in page
        ]
        return Page(items=items, next_cursor=following)

    @app.post(f"{MODELS}/refresh", summary="Ask the vendors for their models now")
    async def refresh_models(
        provider: Annotated[str | None, Query(description="A provider's slug or id; all when left out")] = None,
    ) -> RefreshOut:
        if provider is None:
            await desk.catalog.refresh_all()
        else:
            await desk.catalog.refresh(_known(desk, provider).id)
        models = desk.catalog.models().all()
        return RefreshOut(providers=len({model.provider_id for model in models}), models=len(models))

    @app.get(VENDORS_PATH, summary="List the vendors that providers can be of")
    async def list_vendors(limit: Limit = 100, cursor: Cursor = None) -> Page[VendorOut]:
        page, following = paginate(sorted(VENDORS.values(), key=_slug), _slug, limit, cursor)
        return Page(items=[vendor_out(vendor) for vendor in page], next_cursor=following)


def _known(desk: Desk, provider: str) -> ProviderView:
    view = desk.fold.find(provider)
    if view is None:
        raise Problem(404, "provider_not_found", f"there is no provider {provider!r}")
    return view


def _slug(vendor: Vendor) -> str:
    return vendor.slug
