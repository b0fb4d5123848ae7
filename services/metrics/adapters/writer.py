"""The one writer of the ledger: rows, counters, access log lengths and the checkpoint change in one transaction."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec.structs import astuple
from sqlalchemy import Table, and_, delete, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from services.metrics.adapters.access_log import AccessLog
from services.metrics.adapters.database import Database, LedgerUnavailable, RowsRefused
from services.metrics.adapters.known import KnownIds
from services.metrics.adapters.rollups import Change, Rollups
from services.metrics.adapters.tables import (
    ACCESS_FILES,
    ATTEMPT_ROWS,
    BURIED,
    CHECKPOINTS,
    COUNTERS,
    RECORDS,
    REQUESTS,
    ROLLUPS,
)
from services.metrics.domain.batches import Added, Batch, add_up
from services.metrics.domain.counters import Counters, Series
from services.metrics.domain.rollups import Rolled
from services.metrics.domain.rows import Checkpoint, Entry, RequestRow
from shared.contracts.usage import UsageRecord, decode_record
from shared.kernel.clock import Clock

CONSUMER: Final = "ledger"
_DAY_MS: Final = 86_400_000
_AHEAD: Final = 3
"""Days whose rows have a place before the first of them comes, today included."""
_LOOK_UP: Final = 500
"""Ids per question: far below SQLite's limit of 32,766 parameters."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch held against the ledger: what is new in it, and which messages must be set aside before it is taken."""

    fresh: Added
    broken: dict[int, str]
    """Why, by stream sequence: those that were not set aside before."""
    sequence: int
    delta: dict[Series, int]
    """By how much the counts rise."""
    rollups: Change
    healed: int | None = None
    """The sequence of a message that was set aside once, and is taken now."""


class Writer:
    """Writes batches. Every method blocks: call them one at a time, from the ledger's thread."""

    def __init__(
        self,
        database: Database,
        *,
        stream: str,
        clock: Clock,
        access_log: AccessLog | None,
        line: Callable[[UsageRecord], bytes],
        same: Callable[[bytes, bytes], bool],
        another: Callable[[str], str],
        read: Callable[[bytes], Entry],
    ) -> None:
        """``read`` gives the rows of a stored record, ``line`` writes one for the access log; ``same`` tells whether
        two records of one id say the same, and ``another`` why a second one is set aside. ``access_log`` None: this
        is a copy of a ledger, whose lines are written already."""
        self.counters = Counters()
        self._database = database
        self._engine = database.engine("write")
        self._stream = stream
        self._clock = clock
        self._access_log = access_log
        self._line = line
        self._same = same
        self._another = another
        self._read = read
        self._known = KnownIds()
        self._rollups = Rollups(database)
        self._lengths: dict[str, int] = {}
        self._oldest = ""
        self._days: set[str] = set()

    def open(self) -> Checkpoint | None:
        """Load the counters, bring the access log to where the ledger is, and return how far it has come: None, it is
        new. Call it again after LedgerUnavailable, when nobody knows what was written. Raises LedgerUnavailable."""
        with self._transaction() as connection:
            self._database.hold(connection)
            self._known.open(connection)
            self._rollups.open(connection)
            counts = connection.execute(select(COUNTERS.c.series, COUNTERS.c.value))
            self.counters = Counters({tuple(msgspec.json.decode(series)): int(value) for series, value in counts})
            lengths = connection.execute(select(ACCESS_FILES.c.day, ACCESS_FILES.c.bytes))
            self._lengths = {day: length for day, length in lengths}  # noqa: C416  a result with keys() is no mapping
            if self._access_log is not None:
                self._restore(connection, self._access_log)
            checkpoint = self._checkpoint(connection)
            self._roll_up_older(connection)
        self._days = set()
        self._make_room(self._coming())
        return checkpoint

    def minutes(self, since: int) -> Rolled:
        """Return what is rolled up by minute from ``since`` (Unix seconds) on. Raises LedgerUnavailable."""
        with self._transaction() as connection:
            return {(start, group): tally for start, group, tally in self._rollups.minutes(connection, since)}

    def newest(self, most: int) -> list[RequestRow]:
        """Return the last requests of the ledger, the oldest first. Raises LedgerUnavailable."""
        columns = [REQUESTS.c[name] for name in RequestRow.__struct_fields__]
        with self._transaction() as connection:
            rows = connection.execute(select(*columns).order_by(REQUESTS.c.time_ms.desc()).limit(most)).all()
        return [RequestRow(*row) for row in reversed(rows)]

    def prepare(self, batch: Batch, *, again: bool = False) -> Prepared:
        """Sort out what the ledger has already, and what becomes of it by the rest; writes nothing. ``again``: what was
        set aside before is broken all the same, if it is. Raises LedgerUnavailable."""
        broken = dict(batch.broken)
        added = batch.added
        doubtful = self._known.doubtful(request_id for request_id, _ in batch.entries)
        with self._transaction() as connection:
            if doubtful:
                added = self._without_known(connection, batch, doubtful, broken)
            if broken and not again:
                buried = select(BURIED.c.sequence).where(BURIED.c.sequence.in_(list(broken)))
                for (sequence,) in connection.execute(buried):
                    del broken[sequence]
            delta = self.counters.tally(added.days, added.observed, dead_letters=len(broken))
            return Prepared(added, broken, batch.sequence, delta, self._rollups.arrange(connection, added.spans))

    def commit(self, prepared: Prepared, identity: str, *, waits: Callable[[], object] = lambda: None) -> None:
        """Write what is new, and that everything up to ``prepared.sequence`` of the stream ``identity`` is in.

        Nothing else may have been written since it was prepared. ``waits`` is called when little is left but to wait
        for the database. Raises LedgerUnavailable; RowsRefused for rows that the database does not take.
        """
        fresh, delta = prepared.fresh.entries, prepared.delta
        self._make_room({entry.request.day for entry in fresh} | self._coming())
        with self._transaction() as connection:
            if self._database.served:
                waits()
            # before the rows: a file that has to be made again is made from those of earlier transactions
            files = self._access_log
            lengths = {} if files is None else self._write_access_log(connection, files, fresh)
            if fresh:
                self._database.insert(connection, REQUESTS, [astuple(entry.request) for entry in fresh])
                self._database.insert(
                    connection, ATTEMPT_ROWS, [astuple(row) for entry in fresh for row in entry.attempts]
                )
                self._database.insert(connection, RECORDS, [(*entry.identity, entry.raw) for entry in fresh])
                self._rollups.write(connection, prepared.rollups)
            if prepared.broken:
                self._database.insert(connection, BURIED, list(prepared.broken.items()))
            if prepared.healed is not None:
                connection.execute(delete(BURIED).where(BURIED.c.sequence == prepared.healed))
            if delta:
                self._upsert(connection, COUNTERS, [(_name(key), str(self._count(key) + delta[key])) for key in delta])
            before = self._checkpoint(connection)
            sequence = max(prepared.sequence, before.sequence if before else 0)
            self._upsert(connection, CHECKPOINTS, [(CONSUMER, self._stream, identity, sequence)])
            if not self._database.served:
                waits()
        self._known.committed(entry.request.id for entry in fresh)
        self._rollups.committed(prepared.rollups)
        self.counters.add(delta)
        self._lengths.update(lengths)

    def all_rows(self, table: Table) -> list[tuple[Any, ...]]:
        """Return everything that a (small) table holds. Raises LedgerUnavailable."""
        with self._transaction() as connection:
            return [tuple(row) for row in connection.execute(select(*table.c))]

    def put(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Let a (small) table hold ``rows`` and nothing else. Raises LedgerUnavailable."""
        with self._transaction() as connection:
            connection.execute(delete(table))
            self._upsert(connection, table, rows)

    def close(self) -> None:
        """Let go of the database, which ``open`` opens again."""
        self._engine.dispose()

    def _without_known(
        self, connection: Connection, batch: Batch, doubtful: Sequence[str], broken: dict[int, str]
    ) -> Added:
        fresh = dict(batch.entries)
        for identity, known in self._stored(connection, doubtful, {day for _, day in fresh}):
            entry = fresh.pop(identity, None)
            if entry is not None and not self._same(known, entry.raw):
                sequence, reason = batch.origins[identity], self._another(entry.request.id)
                broken[sequence] = f"{broken[sequence]}; {reason}" if sequence in broken else reason
        return batch.added if len(fresh) == len(batch.entries) else add_up(fresh.values())

    def _count(self, series: Series) -> int:
        return self.counters.counts.get(series, 0)

    def _checkpoint(self, connection: Connection) -> Checkpoint | None:
        found = connection.execute(
            select(CHECKPOINTS.c.identity, CHECKPOINTS.c.sequence).where(CHECKPOINTS.c.consumer == CONSUMER)
        ).first()
        return None if found is None else Checkpoint(found.identity, found.sequence)

    def _stored(
        self, connection: Connection, ids: Sequence[str], days: Collection[str]
    ) -> Iterator[tuple[tuple[str, str], bytes]]:
        """Yield what is stored under ``ids`` on ``days``, and perhaps more."""
        for start in range(0, len(ids), _LOOK_UP):
            wanted = select(RECORDS.c.id, RECORDS.c.day, RECORDS.c.record).where(
                RECORDS.c.id.in_(ids[start : start + _LOOK_UP]), RECORDS.c.day.in_(sorted(days))
            )
            for request_id, day, record in connection.execute(wanted).all():
                yield (request_id, day), record

    def _restore(self, connection: Connection, files: AccessLog) -> None:
        self._forget_old_days(connection, files)
        for day, committed in list(self._lengths.items()):
            if not files.is_whole(day, committed):
                self._lengths[day] = self._append(connection, files, day, b"", committed)
                self._upsert(connection, ACCESS_FILES, [(day, self._lengths[day])])

    def _write_access_log(self, connection: Connection, files: AccessLog, fresh: list[Entry]) -> dict[str, int]:
        if files.oldest() != self._oldest:
            self._forget_old_days(connection, files)
        by_day: dict[str, list[bytes]] = {}
        for entry in fresh:
            if (day := entry.request.day) >= self._oldest:
                by_day.setdefault(day, []).append(entry.line)
        lengths = {
            day: self._append(connection, files, day, b"".join(lines), self._lengths.get(day, 0))
            for day, lines in by_day.items()
        }
        if lengths:
            self._upsert(connection, ACCESS_FILES, list(lengths.items()))
        return lengths

    def _append(self, connection: Connection, files: AccessLog, day: str, data: bytes, committed: int) -> int:
        return files.append(day, data, committed, lambda: self._lines(connection, day))

    def _lines(self, connection: Connection, day: str) -> Iterator[bytes]:
        column = REQUESTS.c
        start_ms = round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)
        of_day = (
            select(RECORDS.c.record)
            .join(REQUESTS, and_(column.id == RECORDS.c.id, column.day == RECORDS.c.day))
            .where(column.time_ms >= start_ms, column.time_ms < start_ms + _DAY_MS)
            .order_by(column.time_ms, column.id)
        )
        for (raw,) in connection.execution_options(yield_per=1000).execute(of_day):
            yield self._line(decode_record(raw))

    def _roll_up_older(self, connection: Connection) -> None:
        """Fill rollups that are empty though the ledger is not: it was made by a version without them."""
        if connection.execute(select(ROLLUPS.c.start).limit(1)).first() is not None:
            return
        ids: Any = select(RECORDS.c.id, RECORDS.c.day).order_by(RECORDS.c.day, RECORDS.c.id)
        found = connection.execute(ids).all()
        for at in range(0, len(found), _LOOK_UP):
            part = found[at : at + _LOOK_UP]
            asked = select(RECORDS.c.record).where(
                RECORDS.c.id.in_([row.id for row in part]), RECORDS.c.day.in_({row.day for row in part})
            )
            added = add_up(self._read(raw) for (raw,) in connection.execute(asked))
            change = self._rollups.arrange(connection, added.spans)
            self._rollups.write(connection, change)
            # before the transaction is: should that fail, all is read anew
            self._rollups.committed(change)

    def _forget_old_days(self, connection: Connection, files: AccessLog) -> None:
        self._oldest = files.oldest()
        files.sweep()
        connection.execute(delete(ACCESS_FILES).where(ACCESS_FILES.c.day < self._oldest))
        self._lengths = {day: length for day, length in self._lengths.items() if day >= self._oldest}

    def _upsert(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        self._database.upsert(connection, table, rows)

    def _coming(self) -> set[str]:
        today = self._clock.now().date()
        return {(today + timedelta(days=days)).isoformat() for days in range(_AHEAD)}

    def _make_room(self, days: set[str]) -> None:
        # in a transaction of its own, so that what is known to be there is there
        missing = days - self._days
        if missing:
            with self._transaction() as connection:
                self._database.make_room(connection, missing)
            self._days |= missing

    @contextmanager
    def _transaction(self) -> Generator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (DBAPIError, OSError) as error:
            if self._database.refusal(error):
                raise RowsRefused(_words(error)) from error
            self._engine.dispose()
            raise LedgerUnavailable(f"the ledger does not take writes: {_words(error)}") from error
        except LedgerUnavailable:
            self._engine.dispose()
            raise


def _name(series: Series) -> str:
    return msgspec.json.encode(series).decode()


def _words(error: DBAPIError | OSError) -> str:
    # without the statement and its parameters, which the library would add
    return next(iter(str(getattr(error, "orig", None) or error).splitlines()), type(error).__name__)
