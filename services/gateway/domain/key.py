"""An application's key: what may happen to it and what it then is."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from ipaddress import ip_network
from typing import Final

from shared.contracts.config import (
    KeyChanged,
    KeyCreated,
    KeyDeleted,
    KeyDisabled,
    KeyEnabled,
    KeyOptions,
    KeyRotated,
    KeyValue,
)
from shared.contracts.envelope import EventData
from shared.kernel.errors import Refusal
from shared.log.aggregates import Decider, Decision

MAX_NAME: Final = 100


class KeyState(Enum):
    """Where in its life a key is."""

    ABSENT = auto()
    ENABLED = auto()
    DISABLED = auto()
    DELETED = auto()


@dataclass(frozen=True, slots=True)
class Key:
    """A key as its events made it."""

    id: str = ""
    state: KeyState = KeyState.ABSENT
    value: KeyValue | None = None
    options: KeyOptions | None = None


@dataclass(frozen=True, slots=True)
class CreateKey:
    """Make the key exist."""

    id: str
    value: KeyValue
    options: KeyOptions


@dataclass(frozen=True, slots=True)
class ChangeKey:
    """Make everything editable be as ``options`` says."""

    options: KeyOptions


@dataclass(frozen=True, slots=True)
class EnableKey:
    """Let the key be used again."""


@dataclass(frozen=True, slots=True)
class DisableKey:
    """Refuse the key until it is enabled."""


@dataclass(frozen=True, slots=True)
class RotateKey:
    """Give the key a new value; the old one works until ``grace_until``."""

    value: KeyValue
    grace_until: datetime | None


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """End the key for good."""


KeyCommand = CreateKey | ChangeKey | EnableKey | DisableKey | RotateKey | DeleteKey


def decide(command: KeyCommand, key: Key) -> Decision:
    """Return the events that ``command`` leads to, or why it is refused."""
    if isinstance(command, CreateKey):
        return _create(command, key)
    if key.state in (KeyState.ABSENT, KeyState.DELETED):
        return Refusal("key_not_found", f"there is no key {key.id}" if key.id else "there is no such key", 404)
    match command:
        case ChangeKey(options):
            return _check(options) or ([] if options == key.options else [KeyChanged(key_id=key.id, options=options)])
        case EnableKey():
            return [KeyEnabled(key_id=key.id)] if key.state is KeyState.DISABLED else []
        case DisableKey():
            return [KeyDisabled(key_id=key.id)] if key.state is KeyState.ENABLED else []
        case RotateKey(value, grace_until):
            return [KeyRotated(key_id=key.id, value=value, grace_until=grace_until)]
        case DeleteKey():
            return [KeyDeleted(key_id=key.id)]


def evolve(key: Key, event: EventData) -> Key:
    """Return the key after ``event``."""
    match event:
        case KeyCreated():
            return Key(event.key_id, KeyState.ENABLED, event.value, event.options)
        case KeyChanged():
            return replace(key, options=event.options)
        case KeyEnabled():
            return replace(key, state=KeyState.ENABLED)
        case KeyDisabled():
            return replace(key, state=KeyState.DISABLED)
        case KeyRotated():
            return replace(key, value=event.value)
        case KeyDeleted():
            return replace(key, state=KeyState.DELETED)
        case _:
            return key


def _name_of(key: Key) -> str | None:
    return None if key.options is None or key.state is KeyState.DELETED else key.options.name


KEY: Final = Decider("key", Key, decide, evolve, _name_of)


def _create(command: CreateKey, key: Key) -> Decision:
    if key.state is not KeyState.ABSENT:
        return Refusal("key_exists", f"a key {command.id} exists already")
    return _check(command.options) or [KeyCreated(key_id=command.id, value=command.value, options=command.options)]


def _check(options: KeyOptions) -> Refusal | None:
    if not options.name.strip() or len(options.name) > MAX_NAME or not options.name.isprintable():
        return Refusal("invalid_name", f"name: 1 to {MAX_NAME} printable characters are allowed", 422)
    for network in options.networks:
        try:
            ip_network(network)
        except ValueError as error:
            return Refusal("invalid_network", f"networks: {network!r} is no CIDR network: {error}", 422)
    return None
