"""What the admin API does with keys and settings, without HTTP: commands in, the fold's view out."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec

from services.gateway.domain.authentication import ENTROPY, format_key, key_value
from services.gateway.domain.destination import ROUTER_PREFIX
from services.gateway.domain.key import (
    KEY,
    ChangeKey,
    CreateKey,
    DeleteKey,
    DisableKey,
    EnableKey,
    KeyCommand,
    RotateKey,
)
from services.gateway.domain.settings import SETTINGS, SETTINGS_ID, ChangeSettings, RoutedDefaults
from services.gateway.projections.keys import KeyRing, KnownKey
from services.gateway.projections.routes import Catalog, Plans
from shared.contracts.config import KeyOptions, Target
from shared.kernel.clock import Clock
from shared.kernel.errors import Refusal
from shared.kernel.ids import NewId
from shared.kernel.secrets import Secret
from shared.log.aggregates import Aggregates, Loaded
from shared.log.folds import FoldRunner

DEFAULT_NAME: Final = "my-app"
ON_ITS_WAY_S: Final = 0.5
MAX_GRACE: Final = timedelta(days=90)

NewestPepper = Callable[[], tuple[str, bytes]]


class Keys:
    """The keys of this LocalRouter, as an operator sees them."""

    def __init__(
        self,
        aggregates: Aggregates,
        ring: KeyRing,
        runner: FoldRunner,
        plans: Plans,
        catalog: Catalog,
        *,
        newest_pepper: NewestPepper,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._aggregates = aggregates
        self._ring = ring
        self._runner = runner
        self._plans = plans
        self._catalog = catalog
        self._newest_pepper = newest_pepper
        self._clock = clock
        self._new_id = new_id

    def all(self) -> list[KnownKey]:
        """Return every key, oldest first."""
        return sorted(self._ring.all(), key=lambda known: known.id)

    def get(self, key_id: str) -> KnownKey | None:
        """Return one key."""
        return self._ring.get(key_id)

    async def create(
        self, options: KeyOptions, *, actor: str, identity: str | None = None
    ) -> tuple[KnownKey, Secret] | Refusal:
        """Make a key whose target is there; its value is returned here and never again."""
        return await self._check_target(options.target) or await self.make(options, actor=actor, identity=identity)

    async def make(
        self, options: KeyOptions, *, actor: str, identity: str | None = None
    ) -> tuple[KnownKey, Secret] | Refusal:
        """Make a key whose target may be still to come."""
        if not options.name:
            options = msgspec.structs.replace(options, name=self._next_name())
        key_id = identity or self._new_id()
        value = format_key(os.urandom(ENTROPY))
        command = CreateKey(key_id, key_value(value, *self._newest_pepper()), options)
        known = await self._handle(key_id, command, actor, None)
        return known if isinstance(known, Refusal) else (known, Secret(value))

    async def change(
        self, known: KnownKey, options: KeyOptions, *, actor: str, expected_version: int | None
    ) -> KnownKey | Refusal:
        """Make everything editable be as ``options`` says."""
        refusal = None if options.target == known.options.target else await self._check_target(options.target)
        return refusal or await self._handle(known.id, ChangeKey(options), actor, expected_version)

    async def switch(self, key_id: str, on: bool, *, actor: str, expected_version: int | None) -> KnownKey | Refusal:
        """Enable or disable a key."""
        command = EnableKey() if on else DisableKey()
        return await self._handle(key_id, command, actor, expected_version)

    async def rotate(
        self, key_id: str, grace: timedelta, *, actor: str, expected_version: int | None
    ) -> tuple[KnownKey, Secret] | Refusal:
        """Give a key a new value; the old one works for ``grace`` longer."""
        if not timedelta(0) <= grace <= MAX_GRACE:
            return Refusal("invalid_grace", f"grace_s: 0 to {MAX_GRACE.days * 86400} is allowed", 422)
        value = format_key(os.urandom(ENTROPY))
        until = self._clock.now() + grace if grace else None
        command = RotateKey(key_value(value, *self._newest_pepper()), until)
        known = await self._handle(key_id, command, actor, expected_version)
        return known if isinstance(known, Refusal) else (known, Secret(value))

    async def delete(self, key_id: str, *, actor: str, expected_version: int | None) -> Refusal | None:
        """End a key for good."""
        done = await self._aggregates.handle(KEY, key_id, DeleteKey(), actor=actor, expected_version=expected_version)
        if isinstance(done, Refusal):
            return done
        await self._runner.reached(done.sequence)
        return None

    async def settings(self) -> Loaded[RoutedDefaults]:
        """Return the routed defaults."""
        return await self._aggregates.load(SETTINGS, SETTINGS_ID)

    async def change_settings(
        self, defaults: RoutedDefaults, *, actor: str, expected_version: int | None
    ) -> Loaded[RoutedDefaults] | Refusal:
        """Make the routed defaults be as ``defaults`` says."""
        refusal = await self._check_target(defaults.default_target)
        return refusal or await self._aggregates.handle(
            SETTINGS, SETTINGS_ID, ChangeSettings(defaults), actor=actor, expected_version=expected_version
        )

    async def _check_target(self, target: Target) -> Refusal | None:
        """Return why nothing can be pointed at ``target``; None: it is there.

        What another service made a moment ago may still be on its way here, so a missing one is waited for a little.
        """
        until = self._clock.monotonic() + ON_ITS_WAY_S
        while (refusal := self._missing(target)) is not None and self._clock.monotonic() < until:  # noqa: ASYNC110  nobody tells of a change here
            await asyncio.sleep(0.02)
        return refusal

    def _missing(self, target: Target) -> Refusal | None:
        if target.router is not None and self._plans.get(target.router) is None:
            known = ", ".join(sorted(plan.slug for plan in self._plans.all())) or "none"
            message = f"target: there is no router {ROUTER_PREFIX}{target.router}; there are: {known}"
            return Refusal("unknown_target", message, 422)
        if target.model is not None and self._catalog.get(target.model) is None:
            message = f"target: the catalog has no model {target.model}; `models` lists what it has"
            return Refusal("unknown_target", message, 422)
        return None

    def _next_name(self) -> str:
        taken = self._ring.names()
        number = self._ring.ever_created + 1
        while f"{DEFAULT_NAME}-{number}" in taken:
            number += 1
        return f"{DEFAULT_NAME}-{number}"

    async def _handle(
        self, key_id: str, command: KeyCommand, actor: str, expected_version: int | None
    ) -> KnownKey | Refusal:
        done = await self._aggregates.handle(KEY, key_id, command, actor=actor, expected_version=expected_version)
        if isinstance(done, Refusal):
            return done
        await self._runner.reached(done.sequence)
        known = self._ring.get(key_id)
        return known or Refusal("key_not_found", f"there is no key {key_id}", 404)
