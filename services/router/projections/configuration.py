"""Folds ``LR_CONFIG``: the routers, the keys and settings that refer to them, the providers that exist.

One fold over the whole stream: a write of a router ends with a message about its name, and a writer waits for that.
"""

from typing import Final

import msgspec

from services.router.domain.world import KeyView, RouterView, World
from shared.contracts.config import (
    KeyChanged,
    KeyCreated,
    KeyDeleted,
    KeyOptions,
    ProviderAdded,
    ProviderChanged,
    ProviderRemoved,
    RouterCreated,
    RouterDeleted,
    RouterReplaced,
    SettingsChanged,
)
from shared.contracts.envelope import EventData
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_CONFIG, Recorded

ROUTER_SUBJECTS: Final = "lr.config.router."
_ROUTER_PREFIX: Final = "router/"


class _State(msgspec.Struct, frozen=True):
    routers: dict[str, RouterView]
    frozen: dict[str, str]
    keys: dict[str, KeyView]
    default_router: str | None
    providers: dict[str, str]


_DECODER: Final = msgspec.json.Decoder(_State)


def router_of(recorded: Recorded) -> str | None:
    """Return the id of the router that a message is about, if it is about one."""
    if not recorded.subject.startswith(ROUTER_SUBJECTS):
        return None
    return recorded.subject.removeprefix(ROUTER_SUBJECTS)


class ConfigurationFold:
    """Keeps ``world`` as the configuration says."""

    name = "configuration"
    stream = LR_CONFIG
    subject = ""

    def __init__(self, world: World) -> None:
        self._world = world

    def apply(self, recorded: Recorded) -> None:
        """Take one message; a router with one that does not read is frozen as it was."""
        router_id = router_of(recorded)
        if router_id in self._world.frozen:
            return
        if recorded.event is not None:
            self._take(recorded.event.data, recorded.sequence)
        elif router_id is not None:
            self._world.frozen[router_id] = f"event {recorded.sequence} does not read: {recorded.broken}"

    def dump(self) -> bytes:
        """Return the configuration's part of the world."""
        world = self._world
        return msgspec.json.encode(
            _State(world.routers, world.frozen, world.keys, world.default_router, world.providers)
        )

    def load(self, raw: bytes) -> None:
        """Replace the configuration's part of the world."""
        try:
            state = _DECODER.decode(raw)
        except msgspec.DecodeError as error:
            raise ContractBroken(f"not a snapshot of the configuration: {error}") from error
        world = self._world
        world.routers, world.frozen, world.keys = state.routers, state.frozen, state.keys
        world.default_router, world.providers = state.default_router, state.providers

    def _take(self, data: EventData, sequence: int) -> None:
        world = self._world
        match data:
            case RouterCreated(router_id=identity, spec=spec, default=default):
                world.routers[identity] = RouterView(
                    id=identity, spec=spec, version=1, sequence=sequence, default=default
                )
            case RouterReplaced(router_id=identity, spec=spec):
                before = world.routers[identity]
                world.routers[identity] = msgspec.structs.replace(
                    before, spec=spec, version=before.version + 1, sequence=sequence
                )
            case RouterDeleted(router_id=identity):
                world.routers.pop(identity, None)
            case KeyCreated(key_id=identity, options=options) | KeyChanged(key_id=identity, options=options):
                world.keys[identity] = KeyView(name=options.name, routers=_routers_of(options))
            case KeyDeleted(key_id=identity):
                world.keys.pop(identity, None)
            case SettingsChanged(default_target=target):
                world.default_router = target.router
            case ProviderAdded(provider_id=identity, spec=spec) | ProviderChanged(provider_id=identity, spec=spec):
                world.providers[identity] = spec.slug
            case ProviderRemoved(provider_id=identity):
                world.providers.pop(identity, None)
            case _:
                pass


def _routers_of(key: KeyOptions) -> tuple[str, ...]:
    named = [name.removeprefix(_ROUTER_PREFIX) for name in key.allowed if name.startswith(_ROUTER_PREFIX)]
    if key.target.router is not None:
        named.append(key.target.router)
    return tuple(sorted(set(named)))
