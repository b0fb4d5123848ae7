"""A whole gateway over the log in memory, with a vendor that says what the test wants."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec

from services.gateway.app import Gateway, build
from services.gateway.settings import GatewaySettings
from shared.contracts.catalog import Capability, HealthChanged, Model, PlanCompiled, Prices, ProviderCatalog
from shared.contracts.config import AutomaticOrder, RouterSpec, Strategy
from shared.contracts.frames import Completion, Data, Fail, Frame, Head, Tail
from shared.contracts.plan import encode_plan
from shared.contracts.usage import Tokens, UsageRecord, decode_usage_envelope
from shared.log.facts import Facts
from shared.log.memory import MemoryLog
from shared.log.port import CATALOG, LR_USAGE, PLANS, SECRETS
from shared.log.secrets import SecretStore
from shared.log.snapshots import SnapshotStore
from shared.routing.compile import compile_plan
from shared.routing.scoring import Score
from shared.runtime.clock import SYSTEM_CLOCK, new_id

ADMIN = {"authorization": "Bearer the-admin-token"}
PRICES = Prices(input=150_000_000_000, output=600_000_000_000, cached=75_000_000_000)
_PREFILL = (Capability.PREFILL,)
USED = Tokens(input=100, cached=20, output=30, source="provider")


def model(
    provider: str, native_id: str, *, prices: Prices | None = PRICES, context: int = 8_000, prefill: bool = False
) -> Model:
    return Model(
        id=f"{provider}/{native_id}",
        provider_id=f"id-of-{provider}",
        provider=provider,
        native_id=native_id,
        capabilities=(Capability.CHAT, Capability.COMPLETION, Capability.TOOLS, *_PREFILL[:prefill]),
        context_window=context,
        prices=prices,
        price_version="test-1",
    )


class ScriptedVendor:
    """The completions port, scripted: each attempt takes the next list of frames for its model."""

    def __init__(self) -> None:
        self.asked: list[Completion] = []
        self.scripts: dict[str, list[list[Frame | Callable[[], Awaitable[object]]]]] = {}
        self.cancelled = 0

    def says(self, model_id: str, *frames: Frame | Callable[[], Awaitable[object]]) -> None:
        self.scripts.setdefault(model_id, []).append(list(frames))

    async def complete(self, request: Completion) -> AsyncGenerator[Frame, None]:
        self.asked.append(request)
        queue = self.scripts.get(request.model, [])
        frames = queue.pop(0) if queue else answer(stream=request.stream)
        try:
            for frame in frames:
                if callable(frame):
                    await frame()
                else:
                    yield frame
        except GeneratorExit:
            self.cancelled += 1
            raise


def answer(text: str = "Hello.", *, stream: bool = False, tokens: Tokens = USED) -> list[Frame]:
    if not stream:
        body = msgspec.json.encode({"model": "m", "choices": [{"message": {"content": text}}]})
        return [Head(status=200, content_type="application/json"), Data(body, content=True), Tail(tokens=tokens)]
    return [
        Head(status=200, content_type="text/event-stream"),
        Data(b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'),
        Data(b"data: " + msgspec.json.encode({"choices": [{"delta": {"content": text}}]}) + b"\n\n", content=True),
        Tail(tokens=tokens, closing=b"data: [DONE]\n\n"),
    ]


def failed(kind: str, **fields: object) -> Fail:
    return msgspec.convert({"type": "fail", "kind": kind, "message": f"it was {kind}", **fields}, Fail)


class World:
    """The gateway under test and everything around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = MemoryLog()
        self.vendor = ScriptedVendor()
        self.loopback_key = ""
        self._told = 0
        self.gateway: Gateway | None = None

    def build(self) -> Gateway:
        return build(
            GatewaySettings(
                gateway_id="g1",
                journal=self.folder / "journal" / "g1",
                host="127.0.0.1",
                port=3000,
                loopback_key=self.loopback_key,
            ),
            log=self.log,
            secrets=SecretStore(self.log.bucket(SECRETS), bytes(32)),
            completions=self.vendor,
            services={},
            readiness={},
            admin_token="the-admin-token",
            metrics_token="the-service-token",
            snapshots=SnapshotStore(self.folder / "snapshots"),
            clock=SYSTEM_CLOCK,
            new_id=new_id,
        )

    async def start(self) -> None:
        self.gateway = self.build()
        await self.gateway.service.start()

    async def stop(self) -> None:
        if self.gateway is not None:
            await self.gateway.service.stop()
            self.gateway = None

    async def publish(self, *models: Model, then: tuple[Strategy, ...] = (), **router: Any) -> None:
        """Put models into the catalog and into the plan of router/minimum-cost, in this order.

        ``then``: what else orders them, all of them being equals before it; ``router``: what else its spec says.
        """
        for provider in sorted({item.provider for item in models}):
            own = tuple(item for item in models if item.provider == provider)
            catalog = ProviderCatalog(provider_id=own[0].provider_id, provider=provider, models=own)
            await self.log.bucket(CATALOG).put(own[0].provider_id, msgspec.json.encode(catalog))
        places = {item.id: place for place, item in enumerate(models)}
        order = AutomaticOrder(strategies=then or (Strategy("given"),))
        spec = RouterSpec(slug="minimum-cost", name="M", order=order, **router)
        scorers = {"given": lambda item, _: Score(places[item.id], because=f"place {places[item.id]}")}
        plan = compile_plan("router-1", spec, models, scorers, {})
        compiled = PlanCompiled(router_id=plan.router_id, plan_hash=plan.hash, plan=encode_plan(plan))
        await self._facts("router").publish(f"lr.facts.plan.{plan.router_id}", compiled, about=f"plan/{plan.router_id}")
        await self.log.bucket(PLANS).put("router-1", encode_plan(plan))

    async def health(self, client: httpx.AsyncClient, provider: str, **said: Any) -> None:
        """Let the log tell of a provider's health, and wait until the gateway has heard of it."""
        self._told += 1
        data = {"provider_id": f"id-of-{provider}", "provider": provider, "health": "healthy", "breaker": "closed"}
        changed = msgspec.convert({**data, "reason": f"said {self._told}", "epoch": 1, **said}, HealthChanged)
        await self._facts("providers").publish(
            f"lr.health.{changed.provider_id}", changed, about=f"provider/{changed.provider_id}"
        )
        async with asyncio.timeout(5):
            while changed.reason not in (await client.get("/admin/v1/health", headers=ADMIN)).text:  # noqa: ASYNC110  it is what the client sees
                await asyncio.sleep(0)

    def _facts(self, source: str) -> Facts:
        return Facts(self.log, clock=SYSTEM_CLOCK, new_id=new_id, source=source)

    def client(self) -> httpx.AsyncClient:
        assert self.gateway is not None
        transport = httpx.ASGITransport(self.gateway.service.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000")

    async def key(self, client: httpx.AsyncClient, **fields: object) -> tuple[str, dict[str, str]]:
        """Make a key; returns its id and the headers that use it."""
        made = await client.post("/admin/v1/keys", json=fields, headers=ADMIN)
        assert made.status_code == 201, made.text
        return made.json()["id"], {"authorization": f"Bearer {made.json()['key']}"}

    async def records(self) -> list[UsageRecord]:
        """Return every usage record that reached the log, after stopping the gateway."""
        await self.stop()
        found: list[UsageRecord] = []
        async for recorded in self.log.read(LR_USAGE):
            found += decode_usage_envelope(recorded.raw).records
        return found
