"""The corpus of stored events: one file per type and version, written once and read for ever.

``python -m shared.testing.golden_events`` writes what is missing; a file that is there is never changed.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from shared.contracts import catalog, config, price_book, speed
from shared.contracts.envelope import Event, EventData, encode_event, registered
from shared.kernel.ids import uuid7

CORPUS: Final = Path("tests/golden/events")
CONTRACTS: Final = (catalog, config, price_book, speed)
"""The modules that register the event types."""

_MOMENT: Final = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
_BY_TYPE: Final[dict[Any, Any]] = {
    str: "text",
    int: 7,
    float: 1.5,
    bool: True,
    bytes: b"\x00\xff bytes",
    datetime: _MOMENT,
}


def example(kind: Any) -> Any:
    """Return a value of a type with every field filled, so that the corpus holds every field there is."""
    return _example(msgspec.inspect.type_info(kind))


def _example(info: msgspec.inspect.Type) -> Any:
    match info:
        case msgspec.inspect.StructType(cls=config.Target):
            return config.Target(router="automatic")
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            return cls(**{field.name: _example(field.type) for field in fields})
        case msgspec.inspect.UnionType(types=types):
            return _example(next(item for item in types if not isinstance(item, msgspec.inspect.NoneType)))
        case msgspec.inspect.VarTupleType(item_type=item):
            return (_example(item),)
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return {_example(key): _example(value)}
        case msgspec.inspect.LiteralType(values=values):
            return values[-1]
        case msgspec.inspect.EnumType(cls=cls):
            return next(iter(cls))
        case _:
            return _BY_TYPE[_PLAIN[type(info)]]


_PLAIN: Final[dict[type[msgspec.inspect.Type], type]] = {
    msgspec.inspect.StrType: str,
    msgspec.inspect.IntType: int,
    msgspec.inspect.FloatType: float,
    msgspec.inspect.BoolType: bool,
    msgspec.inspect.BytesType: bytes,
    msgspec.inspect.DateTimeType: datetime,
}


def example_event(name: str, version: int, cls: type[EventData]) -> Event:
    """Return an event of a type with every field of the envelope and of its data."""
    return Event(
        id=uuid7(int(_MOMENT.timestamp() * 1000), bytes(range(10))),
        type=name,
        version=version,
        source="golden",
        subject=f"{name.partition('.')[0]}/{uuid7(0, bytes(10))}",
        time=_MOMENT,
        data=example(cls),
        correlation_id="correlation",
        causation_id="causation",
        actor="operator",
        previous="0" * 64,
    )


def file_of(folder: Path, name: str, version: int) -> Path:
    """Return where an event type's version is kept."""
    return folder / f"{name}.v{version}.json"


def write_missing(folder: Path) -> list[Path]:
    """Write the newest version of every registered type that has no file yet, and return the new files."""
    written: list[Path] = []
    for name, (version, cls) in sorted(registered().items()):
        path = file_of(folder, name, version)
        if not path.exists():
            raw = encode_event(example_event(name, version, cls))
            path.write_bytes(msgspec.json.format(raw, indent=2) + b"\n")
            written.append(path)
    return written


if __name__ == "__main__":
    CORPUS.mkdir(parents=True, exist_ok=True)
    for new in write_missing(CORPUS):
        sys.stdout.write(f"{new}\n")
