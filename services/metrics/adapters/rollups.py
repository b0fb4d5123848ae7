"""Keeps the rollups: adds what a batch brings to what is stored, in the transaction that writes the rows."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

import msgspec
from sqlalchemy import Select, Text, cast, func, select
from sqlalchemy.engine import Connection

from services.metrics.adapters.database import Database
from services.metrics.adapters.tables import ROLLUP_GROUPS, ROLLUP_SUMS, ROLLUPS
from services.metrics.domain.rollups import MINUTE, RESOLUTIONS, SUMS, Group, Rolled, Tally

_Cell = tuple[int, int, int]
"""Resolution, start, group."""
_MOST: Final = 20_000
"""Cells that are remembered, so that they need not be read before they are written again."""
_LOOK_UP: Final = 500
DOLLAR: Final = 10**12
"""Pico-USD."""
_COSTS: Final = tuple(name for name in SUMS if name.endswith("cost"))
_LARGEST: Final = 2**63 - 1
"""What a column holds: sums of lies end there."""
_SURELY_FITS: Final = 4_000
"""Requests and attempts whose sums a column holds whatever they say of themselves."""
_COUNTS: Final = msgspec.json.Decoder(dict[int, int])
_COLUMNS: Final = [
    *(ROLLUPS.c[name] for name in ROLLUP_SUMS),
    cast(ROLLUPS.c.duration, Text),
    cast(ROLLUPS.c.ttft, Text),
]


class Rollups:
    """The rollups of one writer. A cell is one group in one span of time.

    Every stored cell that begins at ``_known_from`` of its resolution or later is remembered. So what comes in order
    is never read back, and what comes late is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._groups: set[int] = set()
        self._ids: dict[Group, int] = {}
        self._cells: dict[_Cell, Tally] = {}
        self._known_from: dict[int, int] = {}
        self._pending: dict[_Cell, Tally] = {}
        self._pending_groups: set[int] = set()

    def open(self, connection: Connection) -> None:
        """Read what is newest; call it first, and after a transaction of which nobody knows whether it counts."""
        self._groups = {group for (group,) in connection.execute(select(ROLLUP_GROUPS.c.id))}
        self._cells = {}
        for resolution in RESOLUTIONS:
            newest = select(func.max(ROLLUPS.c.start)).where(ROLLUPS.c.resolution == resolution)
            start: int | None = connection.execute(newest).scalar()
            self._known_from[resolution] = 0
            if start is None:
                continue
            found = self._stored(connection, resolution, start, limit=_MOST // len(RESOLUTIONS))
            if found is None:
                self._known_from[resolution] = start + resolution
            else:
                self._known_from[resolution] = start
                self._cells |= found
        self._pending, self._pending_groups = {}, set()

    def write(self, connection: Connection, rolled: Rolled) -> None:
        """Add ``rolled`` to what is stored; it counts once ``committed`` is called."""
        groups: dict[int, Group] = {}
        minutes: dict[_Cell, Tally] = {}
        for (start, group), tally in rolled.items():
            identity = self._ids.get(group)
            if identity is None:
                identity = self._ids[group] = _identity(group)
            if identity not in self._groups:
                groups[identity] = group
            minutes[MINUTE, start, identity] = tally
        cells = finer = minutes
        for resolution in RESOLUTIONS[1:]:
            finer = _coarser(finer, resolution)
            cells = cells | finer
        more: dict[_Cell, Tally] = {}
        for cell, stored in self._before(connection, cells):
            cells[cell] = more[cell] = _sum(stored, cells[cell])
        if groups:
            rows = [(identity, *group) for identity, group in groups.items()]
            self._database.upsert(connection, ROLLUP_GROUPS, rows)
        fresh = [(*cell, *stored_values(tally)) for cell, tally in cells.items() if cell not in more]
        self._database.insert(connection, ROLLUPS, fresh)
        self._database.upsert(connection, ROLLUPS, [(*cell, *stored_values(tally)) for cell, tally in more.items()])
        self._pending, self._pending_groups = cells, set(groups)

    def committed(self) -> None:
        """Remember what was written."""
        self._groups |= self._pending_groups
        for cell, tally in self._pending.items():
            if cell[1] >= self._known_from[cell[0]]:
                self._cells[cell] = tally
        self._pending, self._pending_groups = {}, set()
        if len(self._cells) > _MOST:
            self._forget()
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

    def _before(self, connection: Connection, cells: Iterable[_Cell]) -> Iterator[tuple[_Cell, Tally]]:
        unknown: dict[tuple[int, int], list[int]] = {}
        for cell in cells:
            remembered = self._cells.get(cell)
            if remembered is not None:
                yield cell, remembered
            elif cell[1] < self._known_from[cell[0]]:
                unknown.setdefault(cell[:2], []).append(cell[2])
        for (resolution, start), groups in unknown.items():
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
        return None if limit and len(rows) > limit else {(resolution, start, row[0]): _tally(row[1:]) for row in rows}

    def _forget(self) -> None:
        """Forget all but the newest span of each resolution, or that as well where it alone is too much."""
        for resolution in RESOLUTIONS:
            starts = [cell[1] for cell in self._cells if cell[0] == resolution]
            if starts:
                many = len(starts) > _MOST
                self._known_from[resolution] = max(starts) + (resolution if many else 0)
        self._cells = {cell: tally for cell, tally in self._cells.items() if cell[1] >= self._known_from[cell[0]]}


def _coarser(cells: dict[_Cell, Tally], resolution: int) -> dict[_Cell, Tally]:
    """Return the sums of cells over longer spans."""
    sums: dict[_Cell, Tally] = {}
    ours: set[_Cell] = set()
    for (_, start, group), tally in cells.items():
        cell = (resolution, start - start % resolution, group)
        known = sums.get(cell)
        if known is None:
            sums[cell] = tally
        elif cell in ours:
            known.add(tally)
        else:
            sums[cell] = _sum(known, tally)
            ours.add(cell)
    return sums


def _sum(one: Tally, other: Tally) -> Tally:
    # a new one: both may be in other places as well
    both = one.copy()
    both.add(other)
    return both


def _identity(group: Group) -> int:
    """Return a number that follows from the group alone, so that every ledger gives it the same."""
    return int.from_bytes(blake2b(msgspec.json.encode(group), digest_size=8).digest(), "big", signed=True)


def stored_values(tally: Tally) -> tuple[Any, ...]:
    """Return a tally as the columns of its cell take it."""
    # spelled out, in the order of the columns: a loop over the fields takes three times as long
    dollars, pico = divmod(tally.cost, DOLLAR)
    shadow_dollars, shadow_pico = divmod(tally.shadow_cost, DOLLAR)
    tried_dollars, tried_pico = divmod(tally.tried_cost, DOLLAR)
    tried_shadow_dollars, tried_shadow_pico = divmod(tally.tried_shadow_cost, DOLLAR)
    stored = (
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
        return tuple(min(value, _LARGEST) if isinstance(value, int) else value for value in stored)
    return stored


def _encoded(counts: dict[int, int]) -> str:
    # in the order of the buckets, so that the same counts are the same bytes
    if len(counts) > 1:
        return msgspec.json.encode({bucket: counts[bucket] for bucket in sorted(counts)}).decode()
    # what most minutes hold
    for bucket, count in counts.items():
        return f'{{"{bucket}":{count}}}'
    return "{}"


def _tally(row: Any) -> Tally:
    *stored, duration, ttft = row
    values: dict[str, int] = dict(zip(ROLLUP_SUMS, stored, strict=True))
    for name in _COSTS:
        values[name] = values.pop(f"{name}_usd") * DOLLAR + values.pop(f"{name}_pico")
    return Tally(duration=_COUNTS.decode(duration), ttft=_COUNTS.decode(ttft), **values)
