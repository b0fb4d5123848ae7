"""The admin API's ``models/prices``: the sources of the price book, and the operator's own prices."""

from typing import Annotated, Final

from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from services.providers.api.ports import Desk
from services.providers.api.schemas import PricesOut, prices_out
from shared.contracts.catalog import Prices
from shared.contracts.price_book import OVERRIDES, version_name
from shared.kernel.clock import rfc3339
from shared.kernel.errors import Refusal
from shared.kernel.money import parse_usd
from shared.runtime.admin import PREFIX, Actor, Problem

PRICES: Final = f"{PREFIX}/models/prices"
_PER_MILLION: Final = "USD per million tokens"


class PriceIn(BaseModel):
    """What a model costs by the operator's word; a class that is left out costs as the one that it is a part of."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="`<provider>/<model>`", max_length=400)
    input: str = Field(description=_PER_MILLION, examples=["0.15"])
    output: str = Field(description=_PER_MILLION, examples=["0.60"])
    cached: str | None = Field(default=None, description=_PER_MILLION)
    cache_write: str | None = Field(default=None, description=_PER_MILLION)
    cache_write_1h: str | None = Field(default=None, description=_PER_MILLION)
    audio_input: str | None = Field(default=None, description=_PER_MILLION)
    audio_output: str | None = Field(default=None, description=_PER_MILLION)
    reasoning: str | None = Field(default=None, description=_PER_MILLION)
    request: str = Field(default="0", description="USD per request")


class PriceSourceOut(BaseModel):
    """A source of prices at its newest version."""

    source: str
    version: str
    effective_at: str | None
    origin: str
    models: int


class OwnPriceOut(BaseModel):
    """A price of the operator's."""

    model: str
    version: str
    prices: PricesOut


class PriceBookOut(BaseModel):
    """Where prices are from."""

    sources: list[PriceSourceOut]
    overrides: list[OwnPriceOut]


def add_prices(app: FastAPI, desk: Desk) -> None:
    """Add the routes to ``app``."""

    @app.get(PRICES, summary="Show where prices are from")
    async def show_prices() -> PriceBookOut:  # pyright: ignore[reportUnusedFunction]
        return _shown(desk)

    @app.put(PRICES, summary="Set what a model costs")
    async def set_price(body: PriceIn, actor: Actor) -> PriceBookOut:  # pyright: ignore[reportUnusedFunction]
        slug, _, native = body.model.partition("/")
        if not native or desk.fold.find(slug) is None:
            raise Problem(404, "provider_not_found", f"{body.model!r} is no model of a provider that there is")
        await _take(desk, body.model, _prices(body), actor)
        return _shown(desk)

    @app.delete(PRICES, summary="Let a model cost again what its vendor and public lists say")
    async def remove_price(  # pyright: ignore[reportUnusedFunction]
        model: Annotated[str, Query(description="`<provider>/<model>`")], actor: Actor
    ) -> PriceBookOut:
        sheet = desk.prices.sheets().get(OVERRIDES)
        if sheet is None or model not in sheet.models:
            raise Problem(404, "price_not_found", f"no price of {model!r} was set")
        await _take(desk, model, None, actor)
        return _shown(desk)


async def _take(desk: Desk, model: str, prices: Prices | None, actor: str) -> None:
    refused = await desk.prices.take(OVERRIDES, {model: prices}, actor=actor)
    if isinstance(refused, Refusal):
        raise Problem(refused.status, refused.code, refused.message)
    await desk.catalog.settle()


def _shown(desk: Desk) -> PriceBookOut:
    sheets = desk.prices.sheets()
    own = sheets[OVERRIDES].models if OVERRIDES in sheets else {}
    return PriceBookOut(
        sources=[
            PriceSourceOut(
                source=name,
                version=version_name(name, sheet.version),
                effective_at=None if sheet.effective_at is None else rfc3339(sheet.effective_at),
                origin=sheet.origin,
                models=len(sheet.models),
            )
            for name, sheet in sorted(sheets.items())
        ],
        overrides=[
            OwnPriceOut(model=model, version=priced.version, prices=prices_out(priced.prices))
            for model, priced in sorted(own.items())
        ],
    )


def _prices(body: PriceIn) -> Prices:
    def told(name: str, text: str | None) -> int | None:
        return None if text is None else usd(name, text)

    return Prices(
        input=usd("input", body.input),
        output=usd("output", body.output),
        cached=told("cached", body.cached),
        cache_write=told("cache_write", body.cache_write),
        cache_write_1h=told("cache_write_1h", body.cache_write_1h),
        audio_input=told("audio_input", body.audio_input),
        audio_output=told("audio_output", body.audio_output),
        reasoning=told("reasoning", body.reasoning),
        request=usd("request", body.request),
    )


def usd(name: str, text: str) -> int:
    """Return an amount in pico-USD; raises Problem for what is none."""
    try:
        amount = parse_usd(text)
    except ValueError as error:
        raise Problem(422, "invalid_request", f"{name}: {error}") from error
    if amount < 0:
        raise Problem(422, "invalid_request", f"{name} is not below zero")
    return amount
