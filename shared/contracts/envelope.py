"""The envelope around every event, the registry of event types, and the read edge where old versions are upcast."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from shared.kernel.errors import ContractBroken

Json = dict[str, Any]
Upcast = Callable[[Json], Json]
"""Turns the data of version N of an event into the data of version N + 1."""


class EventData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything an event may carry; register a subclass with ``event``."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fact in an envelope with the fields of CloudEvents."""

    id: str
    """UUIDv7; what deduplication and a re-read after a time-out go by."""
    type: str
    """Dotted past tense, such as ``key.created``: with ``version`` the contract, never an import path."""
    version: int
    source: str
    """The service that decided it."""
    subject: str
    """The aggregate: ``key/<id>``."""
    time: datetime
    data: EventData
    correlation_id: str | None = None
    causation_id: str | None = None
    actor: str | None = None
    """The name of the admin token that asked for it, or of the service."""
    previous: str | None = None
    """SHA-256 of the aggregate's previous envelope as stored: the hash chain of ``LR_CONFIG``."""


class _Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    type: str
    version: int
    source: str
    subject: str
    time: datetime
    data: msgspec.Raw
    correlation_id: str | None = None
    causation_id: str | None = None
    actor: str | None = None
    previous: str | None = None


_TYPES: Final[dict[str, tuple[int, type[EventData]]]] = {}
_NAMES: Final[dict[type[EventData], tuple[str, int]]] = {}
_UPCASTS: Final[dict[tuple[str, int], Upcast]] = {}
_ENCODER: Final = msgspec.json.Encoder(decimal_format="string")
_DECODER: Final = msgspec.json.Decoder(_Wire)

D = TypeVar("D", bound=EventData)


def event(name: str, version: int = 1) -> Callable[[type[D]], type[D]]:
    """Register a data class as the newest version of event type ``name``."""

    def register(cls: type[D]) -> type[D]:
        if name in _TYPES:
            raise ValueError(f"event type {name} is registered twice")
        _TYPES[name] = (version, cls)
        _NAMES[cls] = (name, version)
        return cls

    return register


def upcast(name: str, version: int) -> Callable[[Upcast], Upcast]:
    """Register the step from ``version`` to ``version + 1`` of event type ``name``."""

    def register(step: Upcast) -> Upcast:
        _UPCASTS[name, version] = step
        return step

    return register


def type_of(data: EventData | type[EventData]) -> tuple[str, int]:
    """Return the name and newest version under which a data class is registered."""
    return _NAMES[data if isinstance(data, type) else type(data)]


def wrap(
    data: EventData,
    *,
    event_id: str,
    time: datetime,
    source: str,
    subject: str,
    actor: str | None = None,
    previous: str | None = None,
) -> Event:
    """Return ``data`` in an envelope of its newest version."""
    name, version = type_of(data)
    return Event(
        id=event_id,
        type=name,
        version=version,
        source=source,
        subject=subject,
        time=time,
        data=data,
        actor=actor,
        previous=previous,
    )


def registered() -> dict[str, tuple[int, type[EventData]]]:
    """Return every event type with its newest version and class."""
    return dict(_TYPES)


def encode_event(item: Event) -> bytes:
    """Return the envelope as the JSON that is stored."""
    return _ENCODER.encode(item)


def decode_event(raw: bytes) -> Event:
    """Read a stored envelope of any known version; raises ContractBroken for what is none."""
    try:
        wire = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractBroken(f"not an event envelope: {error}") from error
    known = _TYPES.get(wire.type)
    if known is None:
        raise ContractBroken(f"unknown event type {wire.type!r} (event {wire.id})")
    newest, cls = known
    if wire.version > newest:
        raise ContractBroken(f"{wire.type} v{wire.version} is newer than v{newest} known here (event {wire.id})")
    try:
        data = _read_data(wire, newest, cls)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ContractBroken(f"{wire.type} v{wire.version} does not read: {error} (event {wire.id})") from error
    return Event(
        id=wire.id,
        type=wire.type,
        version=newest,
        source=wire.source,
        subject=wire.subject,
        time=wire.time,
        data=data,
        correlation_id=wire.correlation_id,
        causation_id=wire.causation_id,
        actor=wire.actor,
        previous=wire.previous,
    )


def _read_data(wire: _Wire, newest: int, cls: type[EventData]) -> EventData:
    if wire.version == newest:
        return msgspec.json.decode(wire.data, type=cls)
    data = msgspec.json.decode(wire.data, type=Json)
    for version in range(wire.version, newest):
        step = _UPCASTS.get((wire.type, version))
        if step is None:
            raise KeyError(f"no upcast of {wire.type} from v{version}")
        data = step(data)
    return msgspec.convert(data, cls)


def chain_hash(raw: bytes) -> str:
    """Return the hash that the next event of the same aggregate carries as ``previous``."""
    return hashlib.sha256(raw).hexdigest()
