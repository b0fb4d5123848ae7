"""The admin API's ``simulate``: recorded traffic through another configuration of its router."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import FastAPI
from pydantic import BaseModel, Field

from services.router.api.desk import Routers
from services.router.api.schemas import RouterIn, Shape
from services.router.domain.simulation import ByKey, Side, Simulation
from shared.contracts.usage import UsageRecord
from shared.kernel.clock import Clock, rfc3339
from shared.kernel.money import format_usd
from shared.runtime.admin import PREFIX, Problem

SIMULATE: Final = f"{PREFIX}/simulate"
_SPAN: Final = re.compile(r"(\d{1,4})([mhd])")
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_MOST_MOVES: Final = 100

Since = Callable[[datetime, datetime], AsyncGenerator[list[UsageRecord], None]]


class SimulateIn(Shape):
    """What is to be simulated."""

    router: str = Field(description="Whose traffic: a router's slug or id")
    configuration: RouterIn | None = Field(
        default=None, description="The other configuration; the router's own if none"
    )
    last: Annotated[
        str,
        Field(description="How far back: `90m`, `24h`, `7d`", json_schema_extra={"pattern": r"^\d{1,4}[mhd]$"}),
    ] = "7d"


class SideOut(BaseModel):
    """What one configuration comes to."""

    cost_usd: str = Field(description="Of the requests that have a price")
    unpriced_requests: int
    refused_requests: int = Field(description="No model of the plan could take them")
    latency_ms: dict[str, float] | None = Field(description="p50, p95, p99 of the answered requests that are known")


class MoveOut(BaseModel):
    """Requests that would have gone elsewhere first; null: to nobody."""

    source: str | None = Field(serialization_alias="from")
    target: str | None = Field(serialization_alias="to")
    requests: int


class KeyMovesOut(BaseModel):
    """One key's part."""

    key: str
    requests: int
    moved: int
    before: SideOut
    after: SideOut


class SimulationOut(BaseModel):
    """What the other configuration would have meant."""

    router: str
    start: str = Field(serialization_alias="from")
    end: str = Field(serialization_alias="to")
    requests: int
    moved: int
    before: SideOut
    after: SideOut
    moves: list[MoveOut] = Field(description=f"The {_MOST_MOVES} most frequent ones")
    keys: list[KeyMovesOut]
    skipped: dict[str, int] = Field(description="Requests that came to no choice, by cause")
    confidence: dict[str, Any]


def add_simulate(app: FastAPI, routers: Routers, since: Since, clock: Clock) -> None:
    """Add the route to ``app``."""

    @app.post(SIMULATE, summary="Recorded traffic through another configuration: cost, latency, refusals, moves")
    async def simulate(body: SimulateIn) -> SimulationOut:
        await routers.caught_up()
        router = routers.find(body.router)
        spec = router.spec if body.configuration is None else body.configuration.spec(router.spec.slug)
        end = clock.now().astimezone(UTC)
        start = end - _span(body.last)
        simulation = Simulation(
            router.spec.slug,
            await asyncio.to_thread(routers.plan, router.id, router.spec),
            await asyncio.to_thread(routers.plan, router.id, routers.check(spec)),
            routers.world.speeds,
            {slug: provider_id for provider_id, slug in routers.world.providers.items()},
        )
        async for records in since(start, end):
            await asyncio.to_thread(simulation.take, records)
        await asyncio.to_thread(simulation.finish)
        return _out(simulation, router.spec.slug, start, end)


def _span(text: str) -> timedelta:
    found = _SPAN.fullmatch(text)
    if found is None or not int(found[1]):
        raise Problem(
            422, "invalid_span", f"last: {text!r}, a number of minutes, hours or days is allowed, as 90m, 24h, 7d"
        )
    return int(found[1]) * _UNITS[found[2]]


def _out(simulation: Simulation, slug: str, start: datetime, end: datetime) -> SimulationOut:
    moves = simulation.moves.most_common(_MOST_MOVES)
    return SimulationOut(
        router=slug,
        start=rfc3339(start),
        end=rfc3339(end),
        requests=simulation.requests,
        moved=simulation.moved,
        before=_side(simulation.before),
        after=_side(simulation.after),
        moves=[MoveOut(source=source, target=target, requests=count) for (source, target), count in moves],
        keys=[_key(name, found) for name, found in sorted(simulation.keys.items())],
        skipped=dict(simulation.skipped),
        confidence={
            "tokens": "as recorded: another model would have written other answers",
            "latency": "as recorded where the model stays, else an estimate: as one of the model's own answers took,"
            " or by its mean speed",
            "moved_with_measured_distribution": simulation.estimated["distribution"],
            "moved_with_measured_mean": simulation.estimated["mean"],
            "moved_without": simulation.moved - simulation.estimated.total(),
        },
    )


def _side(side: Side) -> SideOut:
    return SideOut(
        cost_usd=format_usd(side.cost),
        unpriced_requests=side.unpriced,
        refused_requests=side.refused,
        latency_ms=side.percentiles(),
    )


def _key(name: str, found: ByKey) -> KeyMovesOut:
    return KeyMovesOut(
        key=name, requests=found.requests, moved=found.moved, before=_side(found.before), after=_side(found.after)
    )
