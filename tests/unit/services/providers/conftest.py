"""A providers service on the log in memory, and what a test wants of it."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from services.providers.adapters.catalog import CatalogKeeper
from services.providers.adapters.health import HealthBoard
from services.providers.adapters.prober import Prober
from services.providers.app import Providers, build
from services.providers.domain.provider import (
    PROVIDER,
    AddProvider,
    ChangeProvider,
    RemoveProvider,
    SetCredential,
    secret_context,
)
from services.providers.projections.providers import ProvidersFold, ProviderView
from services.providers.settings import ProvidersSettings
from shared.contracts.config import ProviderAdded, ProviderSpec
from shared.contracts.frames import Completions
from shared.kernel.errors import Refusal
from shared.log.aggregates import Aggregates
from shared.log.folds import FoldRunner
from shared.log.memory import MemoryLog
from shared.log.port import LR_CONFIG
from shared.log.snapshots import SnapshotStore
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.service import Service


class MemorySecrets:
    """Secrets in memory that open for their context alone."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[bytes, str]] = {}
        self.purged: list[str] = []

    async def put(self, secret_id: str, plaintext: bytes, *, context: str, expected: int | None = None) -> int:
        self.values[secret_id] = (plaintext, context)
        return 1

    async def read(self, secret_id: str, *, context: str) -> tuple[bytearray, int]:
        return await self.get(secret_id, context=context), 1

    async def get(self, secret_id: str, *, context: str) -> bytearray:
        value, sealed_for = self.values[secret_id]
        assert context == sealed_for
        return bytearray(value)

    async def purge(self, secret_id: str) -> None:
        self.purged.append(secret_id)
        self.values.pop(secret_id, None)


class House:
    """A service over a log and secrets that outlive it, with what a test wants of them."""

    def __init__(self, home: Path, environ: Mapping[str, str], token: str | None, settings: dict[str, Any]) -> None:
        self.log = MemoryLog()
        self.secrets = MemorySecrets()
        self.aggregates = Aggregates(self.log, clock=SYSTEM_CLOCK, new_id=new_id, source="test")
        self._home = home
        self._environ = environ
        self._token = token
        self._settings = settings
        self._providers: Providers | None = None

    @property
    def service(self) -> Service:
        assert self._providers is not None
        return self._providers.service

    @property
    def completions(self) -> Completions:
        assert self._providers is not None
        return self._providers.completions

    @contextlib.asynccontextmanager
    async def again(self) -> AsyncIterator["House"]:
        """Start a service over the same log."""
        before = self._providers
        self._providers = build(
            ProvidersSettings(home=self._home, **{"local_model": False, **self._settings}),
            log=self.log,
            secrets=self.secrets,
            clock=SYSTEM_CLOCK,
            new_id=new_id,
            snapshots=SnapshotStore(self._home / "snapshots"),
            environ=self._environ,
            token=self._token,
        )
        service = self._providers.service
        await service.start()
        try:
            yield self
        finally:
            await service.stop()
            self._providers = before

    async def add(self, identity: str, spec: ProviderSpec, key: str | None) -> None:
        """Add a provider by its events."""
        added = await self.aggregates.handle(PROVIDER, identity, AddProvider(identity, spec), actor="test")
        assert not isinstance(added, Refusal), added
        if key is not None:
            await self.add_credential(identity, key)

    async def add_credential(self, provider_id: str, value: str, *, name: str = "") -> None:
        """Store a credential and wait until the service has it."""
        credential, secret = new_id(), new_id()
        await self.secrets.put(secret, value.encode(), context=secret_context(provider_id, credential))
        command = SetCredential(provider_id, credential, secret, "0" * 8, name)
        await self.aggregates.handle(PROVIDER, provider_id, command, actor="test")
        await self.caught_up()

    async def change(self, provider_id: str, spec: ProviderSpec) -> None:
        """Change a provider and wait until the service has it."""
        await self.aggregates.handle(PROVIDER, provider_id, ChangeProvider(provider_id, spec), actor="test")
        await self.caught_up()

    def view(self, provider_id: str) -> ProviderView:
        """Return a provider as the service sees it."""
        fold = next(p.fold for p in self.service.parts if isinstance(p, FoldRunner) and p.fold.name == "providers")
        assert isinstance(fold, ProvidersFold)
        found = fold.get(provider_id)
        assert found is not None
        return found

    @property
    def prober(self) -> Prober:
        """What probes."""
        return next(part for part in self.service.parts if isinstance(part, Prober))

    @property
    def board(self) -> HealthBoard:
        """What knows how providers are."""
        return next(part for part in self.service.parts if isinstance(part, HealthBoard))

    async def remove(self, provider_id: str) -> None:
        """Remove a provider."""
        await self.aggregates.handle(PROVIDER, provider_id, RemoveProvider(provider_id), actor="test")
        await self.caught_up()

    async def refresh(self, provider_id: str) -> None:
        """Have the catalog of a provider refreshed now."""
        (keeper,) = (part for part in self.service.parts if isinstance(part, CatalogKeeper))
        await keeper.refresh(provider_id)

    async def caught_up(self) -> None:
        """Wait until the service has folded the log."""
        if self._providers is not None:
            runner = next(p for p in self.service.parts if isinstance(p, FoldRunner) and p.fold.name == "providers")
            await runner.reached((await self.log.position(LR_CONFIG)).sequence)

    async def fold_id(self, slug: str) -> str:
        """Return the id of the provider with that slug."""
        async for recorded in self.log.read(LR_CONFIG, "lr.config.provider.*"):
            assert recorded.event is not None
            if isinstance(recorded.event.data, ProviderAdded) and recorded.event.data.spec.slug == slug:
                return recorded.event.data.provider_id
        raise KeyError(slug)


Opener = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def house(tmp_path: Path) -> Opener:
    """Open a service: ``async with house((id, spec, key), …, environ=…) as running``."""

    @contextlib.asynccontextmanager
    async def open_house(
        *specs: tuple[str, ProviderSpec, str | None],
        environ: Mapping[str, str] | None = None,
        token: str | None = None,
        **settings: Any,
    ) -> AsyncIterator[House]:
        found = House(tmp_path, environ or {}, token, settings)
        for spec in specs:
            await found.add(*spec)
        async with found.again():
            yield found

    return open_house
