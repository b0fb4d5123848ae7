"""A whole recorded day, explained afterwards: every choice is derived again from the log, and is the same."""

import random
from typing import Any

import httpx
import msgspec
import pytest

from services.metrics.adapters.explaining import Explainer
from services.metrics.projections.plans import PlanIndex
from shared.contracts.catalog import Capability, Model
from shared.contracts.config import Strategy
from shared.contracts.usage import UsageRecord
from shared.log.port import LR_FACTS
from tests.support.gateway import World, failed, model

REQUESTS = 100
PATHS = {"chat": "/v1/chat/completions", "vectors": "/v1/embeddings", "message": "/v1/messages"}
HEALTH: list[dict[str, Any]] = [
    {"health": "healthy"},
    {"health": "degraded"},
    {"health": "unhealthy"},
    {"health": "healthy", "breaker": "open"},
    {"health": "degraded", "breaker": "half_open"},
    {"health": "healthy", "cool_until": "2999-01-01T00:00:00Z"},
]
FAILURES: list[dict[str, Any]] = [
    {"kind": "rate_limited", "http_status": 429, "retry_after_ms": 60_000},
    {"kind": "rate_limited", "http_status": 429, "retry_after_ms": 20},
    {"kind": "timeout"},
    {"kind": "context_length", "http_status": 400},
    {"kind": "content_policy", "http_status": 400},
]
ROUTERS: list[dict[str, Any]] = [
    {},
    {"affinity": True},
    {"then": (Strategy("weighted"),), "affinity": True},
    {"then": (Strategy("least_busy"),), "affinity": True},
    {"on_cut": "continue", "affinity": True},
]


class Day:
    """What happens in a day, by chance, but by the same chance every time."""

    def __init__(self, world: World, client: httpx.AsyncClient, seed: int) -> None:
        self.world = world
        self.client = client
        self.chance = random.Random(seed)
        self.models: list[Model] = [
            msgspec.structs.replace(item, capabilities=(*item.capabilities, *more))
            for item, more in (
                (model("openai", "gpt", context=400), (Capability.VISION,)),
                (model("groq", "llama"), ()),
                (model("mistral", "large", prices=None), (Capability.EMBEDDING,)),
                (model("ollama", "embed"), (Capability.EMBEDDING,)),
            )
        ]

    async def passes(self) -> None:
        auths = [(await self.world.key(self.client, policies=policies))[1] for policies in POLICIES]
        await self.reconfigured()
        for number in range(REQUESTS):
            if self.chance.random() < 0.1:
                await self.reconfigured()
            if self.chance.random() < 0.3:
                provider = self.chance.choice(self.models).provider
                await self.world.health(self.client, provider, **self.chance.choice(HEALTH))
            if self.chance.random() < 0.3:
                self.world.vendor.says(self.chance.choice(self.models).id, failed(**self.chance.choice(FAILURES)))
            await self.asks(number, self.chance.choice(auths))

    async def reconfigured(self) -> None:
        """Publish another order of the models, and another kind of router."""
        self.chance.shuffle(self.models)
        await self.world.publish(*self.models, **self.chance.choice(ROUTERS))

    async def asks(self, number: int, auth: dict[str, str]) -> None:
        """Send one request of some kind; whether it succeeds is not the point."""
        kind = self.chance.choice(("chat", "chat", "chat", "long", "vectors", "message"))
        text = "Hello" if self.chance.random() < 0.5 else f"Hello {number}"
        messages = [{"role": "user", "content": text * (500 if kind == "long" else 1)}]
        body: dict[str, Any] = {"model": "auto", "messages": messages, "stream": self.chance.random() < 0.3}
        if kind == "vectors":
            body = {"model": "auto", "input": text}
        if kind == "message":
            body |= {"max_tokens": 100, "stream": False}
        await self.client.post(PATHS.get(kind, PATHS["chat"]), json=body, headers=auth)


POLICIES: list[dict[str, Any]] = [{}, {"unpriced": "refuse"}]


async def explained(world: World, records: list[UsageRecord]) -> list[str | None]:
    """Return of every record whether its choice came out the same; None: no router's plan decided."""
    index = PlanIndex()
    async for recorded in world.log.read(LR_FACTS):
        index.apply(recorded)
    explainer = Explainer(world.log, index)
    found = [await explainer.explain(record) for record in records]
    return [None if one is None else one.again for one in found]


@pytest.mark.parametrize("seed", range(2))
async def test_every_choice_of_a_day_is_derived_again_from_the_log(
    world: World, client: httpx.AsyncClient, seed: int
) -> None:
    day = Day(world, client, seed)
    await day.passes()
    records = [record for record in await world.records() if record.plan_hash is not None]
    assert len(records) == REQUESTS
    tried = [len({attempt.model for attempt in record.attempts}) for record in records]
    assert max(tried) > 1, "some requests fell back"
    assert len({record.plan_hash for record in records}) > 3, "the configuration changed"
    assert any(record.held for record in records)
    assert {item.cause for record in records for item in record.excluded} >= {"cooling", "unhealthy"}
    assert await explained(world, records) == ["same"] * REQUESTS
