"""What routing costs: compiling a plan, choosing from it, and following a change, at two sizes.

``python -m bench.routing`` prints one table. Compiling and choosing are CPU time of one call; changes travel over a
real nats-server, through a router service and a gateway's fold of health that run in this process.
"""

import argparse
import asyncio
import logging
import random
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
import structlog

from services.gateway.projections.routes import Health
from services.router.app import build
from services.router.domain.strategies import STRATEGIES
from services.router.settings import RouterSettings
from shared.contracts.catalog import Capability, HealthChanged, Model, Prices, ProviderCatalog
from shared.contracts.config import (
    AutomaticOrder,
    ManualOrder,
    ModelFilters,
    ModelSelection,
    Range,
    RouterCreated,
    RouterReplaced,
    RouterSpec,
    Strategy,
)
from shared.contracts.envelope import Event, EventData, type_of
from shared.contracts.plan import Plan
from shared.contracts.speed import Mix, Speed, SpeedMeasured
from shared.contracts.usage import Needs
from shared.log.folds import FoldRunner
from shared.log.nats import NatsLog
from shared.log.port import CATALOG, SPEED_SUBJECT, Append
from shared.routing.choose import Warm, choose
from shared.routing.compile import compile_plan
from shared.routing.health import ProviderHealth
from shared.routing.scoring import Evidence
from shared.routing.table import ModelTable
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.process import settle_memory
from shared.runtime.service import Service
from shared.testing.nats import throw_away_nats

COMPILE_GOAL_MS: Final = 50
CHOOSE_GOAL_US: Final = 50
SIZES: Final = ((1_000, 100), (10_000, 1_000))
"""Models and routers."""
PROVIDERS: Final = 40
QUIET_S: Final = 1.0
"""Nothing more is compiled for a change after so long a silence."""
NOW: Final = datetime(2026, 5, 1, tzinfo=UTC)
COMPOSITIONS: Final = (
    ("lowest_cost",),
    ("highest_performance", "lowest_cost"),
    ("fastest",),
    ("local_first", "lowest_cost"),
    ("subscription_first", "highest_performance", "fastest"),
    ("weighted",),
    ("lowest_cost", "least_busy"),
)
_C: Final = Capability
_KINDS: Final = (
    (_C.CHAT,),
    (_C.CHAT, _C.TOOLS),
    (_C.CHAT, _C.TOOLS, _C.JSON_SCHEMA),
    (_C.CHAT, _C.TOOLS, _C.VISION, _C.JSON_SCHEMA),
    (_C.CHAT, _C.TOOLS, _C.VISION, _C.JSON_SCHEMA, _C.REASONING),
    (_C.CHAT, _C.TOOLS, _C.JSON_SCHEMA, _C.REASONING),
    (_C.CHAT, _C.COMPLETION),
    (_C.CHAT, _C.TOOLS, _C.VISION, _C.PREFILL),
    (_C.CHAT, _C.TOOLS, _C.VISION, _C.AUDIO, _C.JSON_SCHEMA),
    (_C.EMBEDDING,),
    (_C.COMPLETION,),
    (_C.CHAT, _C.VISION),
)
_WINDOWS: Final = (None, 4_096, 8_192, 32_768, 131_072, 200_000, 1_000_000)


def catalog(count: int) -> list[Model]:
    """Return ``count`` models of many kinds, prices and sizes."""
    chance = random.Random(1)
    return [_model(number, chance) for number in range(count)]


def _model(number: int, chance: random.Random) -> Model:
    provider = f"provider-{number % PROVIDERS:02}"
    native = f"vendor-{chance.randrange(50)}/model-{number}"
    prices = Prices(input=int(10 ** chance.uniform(10, 13)), output=int(10 ** chance.uniform(10.5, 13.7)))
    return Model(
        id=f"{provider}/{native}",
        provider_id=provider,
        provider=provider,
        native_id=native,
        capabilities=chance.choice(_KINDS),
        context_window=chance.choice(_WINDOWS),
        max_output=chance.choice((None, 4_096, 16_384)),
        parameters_b=round(10 ** chance.uniform(-1, 3), 1) if chance.random() < 0.6 else None,
        performance_class=chance.randrange(100) if chance.random() < 0.5 else None,
        prices=prices if chance.random() < 0.95 else None,
        local=number % PROVIDERS == 0,
        subscription=number % PROVIDERS == 1,
    )


def spec_of(number: int, models: list[Model]) -> RouterSpec:
    """Return one of many routers: of everything, of one provider, of what can do something, or by hand."""
    strategies = tuple(Strategy(name, 0.05) for name in COMPOSITIONS[number % len(COMPOSITIONS)])
    spec = RouterSpec(slug=f"router-{number}", name=f"Router {number}", order=AutomaticOrder(strategies=strategies))
    match number % 4:
        case 0:
            return spec
        case 1:
            include = (f"provider-{number % PROVIDERS:02}/*",)
            return msgspec.structs.replace(spec, models=ModelSelection(include=include))
        case 2:
            filters = ModelFilters(price=Range(None, 1 + number % 10), capabilities=("tools",))
            return msgspec.structs.replace(spec, filters=filters)
        case _:
            chosen = tuple(models[(number * 7 + step) % len(models)].id for step in range(5))
            return msgspec.structs.replace(spec, order=ManualOrder(models=chosen))


def cpu_s(work: Callable[[], Any], times: int) -> list[float]:
    """Return the CPU seconds of each of some calls."""
    taken: list[float] = []
    for _ in range(times):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return taken


def say(what: str, taken: list[float], unit: float, name: str, note: str = "") -> None:
    """Print one row: minimum, median, maximum."""
    least, middle, most = (value * unit for value in (min(taken), median(taken), max(taken)))
    print(f"  {what:<58} {least:8.1f} {middle:8.1f} {most:8.1f} {name}  {note}", flush=True)


def measure_pure(models: list[Model]) -> None:
    """Print what compiling and choosing cost."""
    evidence = Evidence(
        {model.id: Speed(ttft_ms=500, tokens_per_s=80, samples=9) for model in models[::3]},
        Mix(input=3_000, output=1_000, samples=50),
    )
    for names in COMPOSITIONS:
        order = AutomaticOrder(strategies=tuple(Strategy(name, 0.05) for name in names))
        spec = RouterSpec(slug="r", name="R", order=order)

        def compiled(table: list[Model] | ModelTable, spec: RouterSpec = spec) -> Plan:
            return compile_plan("r", spec, table, STRATEGIES, {}, evidence)

        table = ModelTable.of(models, {"lowest_cost"})
        plan = compiled(table)
        title = " > ".join(names)
        say(f"compile, the first of a catalog: {title}", cpu_s(lambda: compiled(models), 5), 1e3, "ms")
        again = cpu_s(lambda: compiled(table), 5)  # noqa: B023
        say("compile, further ones", again, 1e3, "ms", f"{len(plan.candidates)} candidates")
        after = cpu_s(lambda: compiled(_refreshed(models, table)), 5)  # noqa: B023
        say("compile, the first after a provider's models changed", after, 1e3, "ms")
        for well in (True, False):
            what = "choose, " + ("all are well" if well else "three providers are out or degraded")
            say(what, _choices(plan, well=well), 1e6, "µs")


def _refreshed(models: list[Model], table: ModelTable) -> ModelTable:
    """Return the table after one provider's catalog was read again."""
    again = [msgspec.structs.replace(model) if model.provider == "provider-07" else model for model in models]
    return ModelTable.of(again, {"lowest_cost"}, table)


def _choices(plan: Plan, *, well: bool) -> list[float]:
    """Return the CPU seconds of a choice from a warm plan, as the mean of a thousand, some times."""
    health = {f"provider-{number:02}": ProviderHealth("healthy") for number in range(PROVIDERS)}
    if not well:
        health |= {"provider-00": ProviderHealth("unhealthy"), "provider-05": ProviderHealth("degraded")}
        health["provider-06"] = ProviderHealth(cool_until=datetime(2099, 1, 1, tzinfo=UTC))
    warm, identity = Warm(), new_id()
    asked = [Needs(capabilities=("chat",), input_tokens=size) for size in (10, 5_000, 100_000)]
    asked += [Needs(capabilities=("chat", "tools"), input_tokens=size) for size in (10, 5_000, 100_000)]
    busy = {candidate.model: place % 5 for place, candidate in enumerate(plan.candidates)}

    def thousand() -> None:
        for number in range(1_000):
            needs = asked[number % len(asked)]
            choose(plan, needs, health, now=NOW, request_id=identity, in_flight=busy, warm=warm)

    return [taken / 1_000 for taken in cpu_s(thousand, 5)]


@dataclass
class House:
    """A router service on a real log."""

    log: NatsLog
    service: Service

    def count(self, name: str) -> float:
        """Return a value of the router's own metrics."""
        assert self.service.registry is not None
        return self.service.registry.get_sample_value(name) or 0.0

    async def write(self, subject: str, *events: EventData) -> None:
        """Append events as their owner would."""
        made = [
            Event(
                id=new_id(),
                type=type_of(data)[0],
                version=type_of(data)[1],
                source="bench",
                subject=subject,
                time=SYSTEM_CLOCK.now(),
                data=data,
            )
            for data in events
        ]
        await self.log.append(Append(subject, made, None))

    async def put(self, provider: str, models: list[Model]) -> None:
        """Put a provider's models into the catalog."""
        value = ProviderCatalog(provider_id=provider, provider=provider, models=tuple(models))
        await self.log.bucket(CATALOG).put(provider, msgspec.json.encode(value))

    async def follows(self, what: str, change: Callable[[], Awaitable[None]]) -> None:
        """Print how long a change takes until the first and the last plan is published, and how many were compiled."""
        plans, compiled = self._counts()
        cpu, started = time.process_time(), time.perf_counter()
        last = first = 0.0
        await change()
        before, seen = (plans, compiled), (plans, compiled)
        async with asyncio.timeout(600):
            while not first or time.perf_counter() - started - last < QUIET_S:
                await asyncio.sleep(0.002)
                if (now := self._counts()) != seen:
                    last = time.perf_counter() - started
                    first = first or (last if now[0] > plans else 0.0)
                    seen = now
        used = time.process_time() - cpu
        published, made = seen[0] - before[0], seen[1] - before[1]
        print(
            f"  {what:<58} {first * 1e3:8.0f} {last * 1e3:8.0f} ms, {used * 1e3:6.0f} ms CPU,"
            f" {made:5.0f} compiled, {published:5.0f} published",
            flush=True,
        )

    def _counts(self) -> tuple[float, float]:
        return self.count("localrouter_plans_published_total"), self.count("localrouter_plan_compile_seconds_count")


@asynccontextmanager
async def house(folder: Path) -> AsyncGenerator[House, None]:
    """A router service over a nats-server of its own."""
    async with throw_away_nats(folder) as server:
        log = await server.log()
        service = build(RouterSettings(host="127.0.0.1", port=0), log=log)
        await service.start()
        try:
            yield House(log, service)
        finally:
            await service.stop()
            await log.close()


async def measure_changes(models: list[Model], routers: int) -> None:
    """Print how long changes take until plans, or choices, are other ones."""
    with tempfile.TemporaryDirectory() as folder:
        async with house(Path(folder)) as running:
            await _plans(running, models, routers)
            await _health(running)


async def _plans(running: House, models: list[Model], routers: int) -> None:
    by_provider: dict[str, list[Model]] = {}
    for model in models:
        by_provider.setdefault(model.provider, []).append(model)
    specs = [spec_of(number, models) for number in range(routers)]

    async def everything() -> None:
        for provider, listed in by_provider.items():
            await running.put(provider, listed)
        for number, spec in enumerate(specs):
            await running.write(f"lr.config.router.{number}", RouterCreated(router_id=str(number), spec=spec))

    await running.follows(f"{routers} routers and all their models are new", everything)

    async def one_router() -> None:
        spec = msgspec.structs.replace(specs[0], name="Renamed", on_cut="buffer")
        await running.write("lr.config.router.0", RouterReplaced(router_id="0", spec=spec))

    async def one_model() -> None:
        listed = by_provider["provider-05"]
        listed[3] = msgspec.structs.replace(listed[3], prices=Prices(input=1, output=1), capabilities=_KINDS[4])
        await running.put("provider-05", listed)

    async def one_speed() -> None:
        speeds = {models[0].id: Speed(ttft_ms=100, tokens_per_s=900, samples=9)}
        await running.write(SPEED_SUBJECT, SpeedMeasured(models=speeds, routers={}))

    await running.follows("one router changed", one_router)
    await running.follows("one model became the cheapest", one_model)
    await running.follows("one model was measured", one_speed)


async def _health(running: House) -> None:
    """Print how long a change of health takes until a gateway chooses otherwise."""
    first, second = (Model(id=f"{name}/m", provider_id=name, provider=name, native_id="m") for name in "ab")
    spec = RouterSpec(slug="r", name="R", order=ManualOrder(models=("a/m", "b/m")))
    plan = compile_plan("r", spec, [first, second], STRATEGIES, {})
    health, moved = Health(), asyncio.Event()
    runner = FoldRunner(running.log, health, changed=lambda _: moved.set())
    await runner.start()
    taken: list[float] = []
    try:
        for epoch in range(20):
            sick = epoch % 2 == 0
            event = HealthChanged(
                provider_id="a",
                provider="a",
                health="unhealthy" if sick else "healthy",
                breaker="closed",
                epoch=epoch + 1,
            )
            started = time.perf_counter()
            await running.write("lr.health.a", event)
            while choose(plan, Needs(), health.states, now=NOW).order[0].provider != ("b" if sick else "a"):
                moved.clear()
                await moved.wait()
            taken.append(time.perf_counter() - started)
    finally:
        await runner.stop()
    say("a change of health until the choice is another", taken, 1e3, "ms", "goal: less than 1,000")


def main() -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="only the smaller size")
    small: bool = parser.parse_args().small
    print(f"goals: compile <= {COMPILE_GOAL_MS} ms, choose <= {CHOOSE_GOAL_US} µs (minimum, median, maximum)")
    for models, routers in SIZES[:1] if small else SIZES:
        print(f"{models} models of {PROVIDERS} providers, {routers} routers")
        found = catalog(models)
        settle_memory()  # as every service does
        measure_pure(found)
        asyncio.run(measure_changes(found, routers))


if __name__ == "__main__":
    main()
