"""A providers service on the log in memory, and a wall for it to talk to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from services.providers.app import Providers, build
from services.providers.domain.provider import PROVIDER, AddProvider, SetCredential, secret_context
from services.providers.settings import ProvidersSettings
from shared.contracts.config import ProviderAdded, ProviderSpec
from shared.kernel.errors import Refusal
from shared.log.aggregates import Aggregates
from shared.log.memory import MemoryLog
from shared.log.port import LR_CONFIG
from shared.log.snapshots import SnapshotStore
from shared.runtime.clock import SYSTEM_CLOCK, new_id


class MemorySecrets:
    """Secrets in memory that open for their context alone."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[bytes, str]] = {}

    async def put(self, secret_id: str, plaintext: bytes, *, context: str) -> None:
        self.values[secret_id] = (plaintext, context)

    async def get(self, secret_id: str, *, context: str) -> bytes:
        value, sealed_for = self.values[secret_id]
        assert context == sealed_for
        return value

    async def purge(self, secret_id: str) -> None:
        self.values.pop(secret_id, None)


class House:
    """A running service with what a test wants of it."""

    def __init__(self, log: MemoryLog, secrets: MemorySecrets, providers: Providers) -> None:
        self.log = log
        self.secrets = secrets
        self.service = providers.service
        self.completions = providers.completions

    async def add_credential(self, provider_id: str, value: str, *, name: str = "") -> None:
        """Store a further credential and wait until the service has it."""
        aggregates = Aggregates(self.log, clock=SYSTEM_CLOCK, new_id=new_id, source="test")
        credential, secret = new_id(), new_id()
        await self.secrets.put(secret, value.encode(), context=secret_context(provider_id, credential))
        command = SetCredential(provider_id, credential, secret, "0" * 8, name)
        await aggregates.handle(PROVIDER, provider_id, command, actor="test")
        await asyncio.sleep(0)  # the fold follows in a task of the same loop

    async def fold_id(self, slug: str) -> str:
        """Return the id of the provider with that slug."""
        async for recorded in self.log.read(LR_CONFIG, "lr.config.provider.*"):
            assert recorded.event is not None
            if isinstance(recorded.event.data, ProviderAdded) and recorded.event.data.spec.slug == slug:
                return recorded.event.data.provider_id
        raise KeyError(slug)


async def add_provider(
    log: MemoryLog, secrets: MemorySecrets, spec: ProviderSpec, *, key: str | None = None, identity: str | None = None
) -> str:
    """Add a provider by its events, with a credential where ``key`` is given; return its id."""
    aggregates = Aggregates(log, clock=SYSTEM_CLOCK, new_id=new_id, source="test")
    identity = identity or new_id()
    added = await aggregates.handle(PROVIDER, identity, AddProvider(identity, spec), actor="test")
    assert not isinstance(added, Refusal), added
    if key is not None:
        credential, secret = new_id(), new_id()
        await secrets.put(secret, key.encode(), context=secret_context(identity, credential))
        stored = SetCredential(identity, credential, secret, "0" * 8)
        await aggregates.handle(PROVIDER, identity, stored, actor="test")
    return identity


Opener = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def house(tmp_path: Path) -> Opener:
    """Open a service: ``async with house(specs, environ=…) as running``."""

    @contextlib.asynccontextmanager
    async def open_house(
        *specs: tuple[str, ProviderSpec, str | None],
        environ: Mapping[str, str] | None = None,
        token: str | None = None,
        **settings: Any,
    ) -> AsyncIterator[House]:
        log, secrets = MemoryLog(), MemorySecrets()
        for identity, spec, key in specs:
            await add_provider(log, secrets, spec, key=key, identity=identity)
        providers = build(
            ProvidersSettings(home=tmp_path, **{"local_model": False, **settings}),
            log=log,
            secrets=secrets,
            clock=SYSTEM_CLOCK,
            new_id=new_id,
            snapshots=SnapshotStore(tmp_path / "snapshots"),
            environ=environ or {},
            token=token,
        )
        await providers.service.start()
        try:
            yield House(log, secrets, providers)
        finally:
            await providers.service.stop()

    return open_house
