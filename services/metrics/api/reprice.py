"""The admin API's ``reprice``: what was used, at the prices of another time."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from services.metrics.api.shapes import CostUsd
from services.metrics.domain.questions import Filter, told_cost
from services.metrics.domain.repricing import Bill, Both, Repricing
from shared.kernel.clock import rfc3339
from shared.kernel.money import format_usd
from shared.runtime.admin import PREFIX, Problem

REPRICE: Final = f"{PREFIX}/reprice"
Reprice = Callable[[str | datetime | None, Filter], Awaitable[Repricing | None]]
MakeFilter = Callable[..., Filter]


class RepriceIn(BaseModel):
    """What is to be priced again, and at which prices."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    as_of: str | None = Field(
        default=None, description="A version of the price book such as `genai-prices@3`, or an RFC 3339 time; none: now"
    )
    start: str | None = Field(default=None, alias="from", description="From this RFC 3339 time, or this date (UTC), on")
    end: str | None = Field(default=None, alias="to", description="Up to but without this time, or to a date's end")
    key: str | None = Field(default=None, description="A key's id or name")
    provider: str | None = Field(default=None, description="A provider's slug: requests that were tried there")
    model: str | None = Field(default=None, description="`<provider>/<model>`: requests that were tried there")
    router: str | None = Field(default=None, description="A router's slug")


class BillOut(BaseModel):
    """What requests come to."""

    cost_usd: CostUsd = Field(description="Of everything whose price is known; null where nothing has a known price")
    unpriced: int = Field(description="Requests of unknown or partly unknown cost; per model attempts")


class SourceOut(BaseModel):
    """A source of prices as of then."""

    source: str
    version: str
    effective_at: str | None
    origin: str


class ModelBillsOut(BaseModel):
    """The attempts at one model."""

    provider: str
    model: str
    attempts: int
    recorded: BillOut
    repriced: BillOut


class RepriceOut(BaseModel):
    """What was recorded, and what it comes to."""

    as_of: str | None
    requests: int
    recorded: BillOut
    repriced: BillOut
    sources: list[SourceOut]
    models: list[ModelBillsOut]


def add_reprice(app: FastAPI, reprice: Reprice, make_filter: MakeFilter) -> None:
    """Add the route to ``app``."""

    @app.post(REPRICE, tags=["usage"], operation_id="reprice", response_model_by_alias=True)
    async def reprice_usage(body: RepriceIn) -> RepriceOut:  # pyright: ignore[reportUnusedFunction]
        """Price recorded requests again, as of a version of the price book or a time. Nothing is changed."""
        where = make_filter(body.start, body.end, body.key, body.provider, body.model, body.router, None)
        found = await reprice(_as_of(body.as_of), where)
        if found is None:
            raise Problem(404, "price_version_not_found", f"there is no version {body.as_of!r} of the price book")
        return _shown(body.as_of, found)


def _as_of(text: str | None) -> str | datetime | None:
    if text is None or "@" in text:
        return text
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        if moment.tzinfo is None:
            raise ValueError("no offset")
    except ValueError as error:
        allowed = "a version such as genai-prices@3 or an RFC 3339 time such as 2026-01-31T12:00:00Z"
        raise Problem(422, "invalid_request", f"as_of must be {allowed}, not {text!r}") from error
    return moment


def _shown(as_of: str | None, found: Repricing) -> RepriceOut:
    sheets = sorted(found.book.book.sheets.items())
    totals = found.totals
    return RepriceOut(
        as_of=as_of,
        requests=totals.requests,
        recorded=_bill(totals.recorded, totals.requests),
        repriced=_bill(totals.repriced, totals.requests),
        sources=[
            SourceOut(
                source=name,
                version=f"{name}@{sheet.version}",
                effective_at=None if sheet.effective_at is None else rfc3339(sheet.effective_at),
                origin=sheet.origin,
            )
            for name, sheet in sheets
        ],
        models=[_model(provider, model, both) for (provider, model), both in sorted(found.models.items())],
    )


def _model(provider: str, model: str, both: Both) -> ModelBillsOut:
    return ModelBillsOut(
        provider=provider,
        model=model,
        attempts=both.requests,
        recorded=_bill(both.recorded, both.requests),
        repriced=_bill(both.repriced, both.requests),
    )


def _bill(bill: Bill, count: int) -> BillOut:
    cost = told_cost(bill.cost, unpriced=bill.unpriced, count=count)
    return BillOut(cost_usd=None if cost is None else format_usd(cost), unpriced=bill.unpriced)
