"""The last day by minute, in the admin API."""

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Query, Response
from pydantic import BaseModel, Field

from services.metrics.api.shapes import CostUsd, TokenSums
from shared.runtime.admin import PREFIX

Recent = Callable[[str, str, str], bytes]
"""Tells the minutes of a key, a provider and a model, each the empty text for any."""


class Percentiles(BaseModel):
    """Milliseconds, off by five hundredths at most; null: there was nothing to measure."""

    p50: float | None
    p95: float | None
    p99: float | None


class RecentMinute(BaseModel):
    """What was used in one minute."""

    time: int = Field(description="When it began, Unix seconds")
    requests: int
    succeeded: int
    attempts: int
    tokens: TokenSums
    cost_usd: CostUsd = Field(description="Of everything whose price is known; null where nothing has a known price")
    unpriced_requests: int
    duration_ms: Percentiles
    ttft_ms: Percentiles


class RecentAnswer(BaseModel):
    """The minutes of the last 24 hours in which there was any use, in order."""

    interval_s: int
    whole: bool = Field(description="false: memory had no room for every minute of this key, provider or model")
    items: list[RecentMinute]


def add_recent(app: FastAPI, recent: Recent) -> None:
    """Add ``/admin/v1/recent``."""

    @app.get(f"{PREFIX}/recent", tags=["usage"], operation_id="getRecent", response_model=RecentAnswer)
    async def last_day(  # pyright: ignore[reportUnusedFunction]  the route holds it
        key: Annotated[str, Query(description="A key's id or name")] = "",
        provider: Annotated[str, Query(description="A provider's slug: attempts made there")] = "",
        model: Annotated[str, Query(description="`<provider>/<model>`: attempts made there")] = "",
    ) -> Response:
        """Show the last 24 hours by minute, from memory: for graphs that are drawn again and again."""
        # written as JSON already, minute by minute as they changed
        return Response(recent(key, provider, model), media_type="application/json")
