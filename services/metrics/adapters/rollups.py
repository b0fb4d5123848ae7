"""Keeps the rollups: adds what a batch brings to what is stored, in the transaction that writes the rows.

A cell is one group in one span of time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from typing import Any, Final

import msgspec
from sqlalchemy import Select, Text, cast, func, select
from sqlalchemy.engine import Connection

from services.metrics.adapters.database import Database
from services.metrics.adapters.tables import ROLLUP_GROUPS, ROLLUP_SUMS, ROLLUPS
from services.metrics.domain.rollups import BOUNDS_MS, MINUTE, RESOLUTIONS, SUMS, Group, Rolled, Tally, sum_of

_Cell = tuple[int, int]
"""Of one resolution: start, group."""
_MOST: Final = 7_000
"""Cells of each resolution that are remembered, so that they need not be read before they are written again."""
_LOOK_UP: Final = 500
DOLLAR: Final = 10**12
"""Pico-USD."""
_COSTS: Final = tuple(name for name in SUMS if name.endswith("cost"))
_LARGEST: Final = 2**63 - 1
"""What a column holds: sums of lies end there."""
_SURELY_FITS: Final = 4_000
"""Requests and attempts whose sums a column holds whatever they say of themselves."""
_COUNTS: Final = msgspec.json.Decoder(dict[int, int])
_ONCE: Final = tuple(f'{{"{bucket}":1}}' for bucket in range(len(BOUNDS_MS) + 1))
"""One in a bucket."""
_COLUMNS: Final = [
    *(ROLLUPS.c[name] for name in ROLLUP_SUMS),
    cast(ROLLUPS.c.duration, Text),
    cast(ROLLUPS.c.ttft, Text),
]


class _Newest:
    """The newest cells of one resolution: every stored one that begins at ``since`` or later.

    So what comes in order is never read back, and what comes late is.
    """

    def __init__(self) -> None:
        self.since = 0
        self.cells: dict[_Cell, Tally] = {}

    def put(self, cells: dict[_Cell, Tally]) -> None:
        """Take what was written."""
        if len(self.cells) + len(cells) > _MOST:
            # all but the newest span, or that as well where it alone is too much
            self._forget(max(start for start, _ in chain(self.cells, cells)))
        since = self.since
        self.cells.update({cell: tally for cell, tally in cells.items() if cell[0] >= since})
        if len(self.cells) > _MOST:
            self._forget(since + 1)

    def _forget(self, since: int) -> None:
        # never back: what was forgotten is not remembered again
        self.since = max(since, self.since)
        self.cells = {cell: tally for cell, tally in self.cells.items() if cell[0] >= self.since}


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written, and what the cells are then."""

    groups: dict[int, Group] = field(default_factory=dict[int, Group])
    """Those that are new."""
    cells: dict[int, dict[_Cell, Tally]] = field(default_factory=dict[int, dict[_Cell, Tally]])
    """By resolution."""
    fresh: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    """Rows of cells that were not there."""
    more: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    """Rows in the place of others."""


class Rollups:
    """The rollups of one writer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._groups: set[int] = set()
        self._ids: dict[Group, int] = {}
        self._newest: dict[int, _Newest] = {}

    def open(self, connection: Connection) -> None:
        """Read what is newest; call it first, and after a transaction of which nobody knows whether it counts."""
        self._groups = {group for (group,) in connection.execute(select(ROLLUP_GROUPS.c.id))}
        self._newest = {resolution: _Newest() for resolution in RESOLUTIONS}
        for resolution, newest in self._newest.items():
            last = select(func.max(ROLLUPS.c.start)).where(ROLLUPS.c.resolution == resolution)
            start: int | None = connection.execute(last).scalar()
            if start is None:
                continue
            found = self._stored(connection, resolution, start, limit=_MOST)
            if found is None:
                newest.since = start + 1
            else:
                newest.since, newest.cells = start, found

    def arrange(self, connection: Connection, spans: Mapping[int, Rolled]) -> Change:
        """Return what becomes of the stored cells by what is rolled up, by resolution; writes nothing."""
        change = Change()
        for resolution, rolled in spans.items():
            cells = {(start, self._identity(group, change.groups)): tally for (start, group), tally in rolled.items()}
            known: set[_Cell] = set()
            for cell, stored in self._before(connection, resolution, cells):
                both = cells[cell] = sum_of(stored, cells[cell])
                change.more.append(stored_row(resolution, *cell, both))
                known.add(cell)
            change.fresh.extend(
                stored_row(resolution, *cell, tally) for cell, tally in cells.items() if cell not in known
            )
            change.cells[resolution] = cells
        return change

    def write(self, connection: Connection, change: Change) -> None:
        """Write ``change``; it counts once ``committed`` is called."""
        groups = [(identity, *group) for identity, group in change.groups.items()]
        self._database.upsert(connection, ROLLUP_GROUPS, groups)
        self._database.insert(connection, ROLLUPS, change.fresh)
        self._database.upsert(connection, ROLLUPS, change.more)

    def committed(self, change: Change) -> None:
        """Remember what was written."""
        self._groups.update(change.groups)
        for resolution, cells in change.cells.items():
            self._newest[resolution].put(cells)
        if len(self._ids) > _MOST:
            self._ids.clear()

    def minutes(self, connection: Connection, since: int) -> Iterator[tuple[int, Group, Tally]]:
        """Yield every minute from ``since`` (Unix seconds) on, in order."""
        named: Select[*tuple[Any, ...]] = select(*ROLLUP_GROUPS.c)
        groups: dict[int, Any] = {row[0]: tuple(row[1:]) for row in connection.execute(named)}
        asked: Select[*tuple[Any, ...]] = select(ROLLUPS.c.start, ROLLUPS.c.group_id, *_COLUMNS)
        asked = asked.where(ROLLUPS.c.resolution == MINUTE, ROLLUPS.c.start >= since).order_by(ROLLUPS.c.start)
        for row in connection.execution_options(yield_per=1000).execute(asked):
            yield row[0], groups[row[1]], _tally(row[2:])

    def _identity(self, group: Group, unknown: dict[int, Group]) -> int:
        identity = self._ids.get(group)
        if identity is None:
            identity = self._ids[group] = _identity(group)
        if identity not in self._groups:
            unknown[identity] = group
        return identity

    def _before(
        self, connection: Connection, resolution: int, cells: Mapping[_Cell, Tally]
    ) -> Iterator[tuple[_Cell, Tally]]:
        """Yield those of ``cells`` that are stored, as they are there."""
        newest = self._newest[resolution]
        late: dict[int, list[int]] = {}
        for cell in cells:
            remembered = newest.cells.get(cell)
            if remembered is not None:
                yield cell, remembered
            elif cell[0] < newest.since:
                late.setdefault(cell[0], []).append(cell[1])
        for start, groups in late.items():
            for at in range(0, len(groups), _LOOK_UP):
                found = self._stored(connection, resolution, start, groups=groups[at : at + _LOOK_UP])
                yield from (found or {}).items()

    def _stored(
        self, connection: Connection, resolution: int, start: int, *, groups: list[int] | None = None, limit: int = 0
    ) -> dict[_Cell, Tally] | None:
        """Return the cells of one span of time; None: there are more than ``limit``."""
        asked = select(ROLLUPS.c.group_id, *_COLUMNS)
        asked = asked.where(ROLLUPS.c.resolution == resolution, ROLLUPS.c.start == start)
        if groups is not None:
            asked = asked.where(ROLLUPS.c.group_id.in_(groups))
        if limit:
            asked = asked.limit(limit + 1)
        rows = connection.execute(asked).all()
        return None if limit and len(rows) > limit else {(start, row[0]): _tally(row[1:]) for row in rows}


def _identity(group: Group) -> int:
    """Return a number that follows from the group alone, so that every ledger gives it the same."""
    return int.from_bytes(blake2b(msgspec.json.encode(group), digest_size=8).digest(), "big", signed=True)


def stored_row(resolution: int, start: int, group: int, tally: Tally) -> tuple[Any, ...]:
    """Return a cell as the columns of its table take it."""
    # spelled out, in the order of the columns: a loop over the fields takes three times as long
    dollars, pico = divmod(tally.cost, DOLLAR)
    shadow_dollars, shadow_pico = divmod(tally.shadow_cost, DOLLAR)
    tried_dollars, tried_pico = divmod(tally.tried_cost, DOLLAR)
    tried_shadow_dollars, tried_shadow_pico = divmod(tally.tried_shadow_cost, DOLLAR)
    row = (
        resolution,
        start,
        group,
        tally.requests,
        tally.attempts,
        tally.input,
        tally.cached,
        tally.cache_write,
        tally.output,
        tally.reasoning,
        dollars,
        pico,
        shadow_dollars,
        shadow_pico,
        tally.unpriced,
        tally.tried_provider,
        tally.tried_model,
        tally.tried,
        tally.tried_input,
        tally.tried_cached,
        tally.tried_cache_write,
        tally.tried_output,
        tally.tried_reasoning,
        tried_dollars,
        tried_pico,
        tried_shadow_dollars,
        tried_shadow_pico,
        tally.unpriced_provider,
        tally.unpriced_model,
        _encoded(tally.duration),
        _encoded(tally.ttft),
    )
    if tally.requests + tally.tried > _SURELY_FITS:
        return tuple(min(value, _LARGEST) if isinstance(value, int) else value for value in row)
    return row


def _encoded(counts: dict[int, int]) -> str:
    # what most minutes hold comes first
    if len(counts) == 1:
        for bucket, count in counts.items():
            if count == 1:
                return _ONCE[bucket]
    # in the order of the buckets, so that the same counts are the same bytes
    return msgspec.json.encode({bucket: counts[bucket] for bucket in sorted(counts)}).decode()


def _tally(row: Any) -> Tally:
    *stored, duration, ttft = row
    values: dict[str, int] = dict(zip(ROLLUP_SUMS, stored, strict=True))
    for name in _COSTS:
        values[name] = values.pop(f"{name}_usd") * DOLLAR + values.pop(f"{name}_pico")
    return Tally(duration=_COUNTS.decode(duration), ttft=_COUNTS.decode(ttft), **values)
