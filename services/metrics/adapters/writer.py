"""The one writer of the ledger: rows, counters, access log lengths and the checkpoint change in one transaction."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec.structs import astuple
from sqlalchemy import Engine, Table, and_, delete, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from services.metrics.adapters.access_log import AccessLog
from services.metrics.adapters.tables import ACCESS_FILES, ATTEMPTS, BURIED, CHECKPOINTS, COUNTERS, RECORDS, REQUESTS
from services.metrics.domain.counters import Counters, Series
from services.metrics.domain.rows import Batch, Checkpoint, Entry, RequestRow
from shared.contracts.usage import UsageRecord, decode_record
from shared.kernel.errors import LocalRouterError

CONSUMER: Final = "ledger"
_DAY_MS: Final = 86_400_000
_LOOK_UP: Final = 500
"""Ids per question: far below SQLite's limit of 32,766 parameters."""


class LedgerUnavailable(LocalRouterError):
    """The ledger does not take writes at the moment: locked, full or unreachable. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch held against the ledger: what is new in it, and which messages must be set aside before it is taken."""

    fresh: list[Entry]
    broken: dict[int, str]
    """Why, by stream sequence: those that were not set aside before."""
    sequence: int


class Writer:
    """Writes batches. Every method blocks: call them one at a time, from the ledger's thread."""

    def __init__(
        self,
        engine: Engine,
        *,
        stream: str,
        access_log: AccessLog,
        line: Callable[[UsageRecord], bytes],
        same: Callable[[bytes, bytes], bool],
        another: Callable[[str], str],
    ) -> None:
        """``line`` writes a record for the access log; ``same`` tells whether two records of one id say the same, and
        ``another`` why a second one is set aside."""
        self.counters = Counters()
        self._engine = engine
        self._stream = stream
        self._access_log = access_log
        self._line = line
        self._same = same
        self._another = another
        self._lengths: dict[str, int] = {}
        self._oldest = ""

    def open(self) -> None:
        """Load the counters and bring the access log to where the ledger is; raises LedgerUnavailable."""
        with self._transaction() as connection:
            counts = connection.execute(select(COUNTERS.c.series, COUNTERS.c.value))
            self.counters = Counters({tuple(msgspec.json.decode(series)): int(value) for series, value in counts})
            lengths = connection.execute(select(ACCESS_FILES.c.day, ACCESS_FILES.c.bytes))
            self._lengths = {day: length for day, length in lengths}  # noqa: C416  a result with keys() is no mapping
            self._forget_old_days(connection)
            for day, committed in list(self._lengths.items()):
                if not self._access_log.is_whole(day, committed):
                    self._lengths[day] = self._append(connection, day, b"", committed)
                    _upsert(connection, ACCESS_FILES, [(day, self._lengths[day])])

    def checkpoint(self) -> Checkpoint | None:
        """Return how far the ledger has come; None: it is new. Raises LedgerUnavailable."""
        with self._transaction() as connection:
            return self._checkpoint(connection)

    def newest(self, most: int) -> list[RequestRow]:
        """Return the last requests of the ledger, the oldest first. Raises LedgerUnavailable."""
        columns = [REQUESTS.c[name] for name in RequestRow.__struct_fields__]
        with self._transaction() as connection:
            rows = connection.execute(select(*columns).order_by(REQUESTS.c.time_ms.desc()).limit(most)).all()
        return [RequestRow(*row) for row in reversed(rows)]

    def prepare(self, batch: Batch) -> Prepared:
        """Sort out what the ledger has already; writes nothing. Raises LedgerUnavailable."""
        broken = dict(batch.broken)
        fresh = dict(batch.entries)
        with self._transaction() as connection:
            for identity, known in self._known(connection, batch.entries):
                entry = fresh.pop(identity)
                if not self._same(known, entry.raw):
                    sequence, reason = batch.origins[identity], self._another(entry.request.id)
                    broken[sequence] = f"{broken[sequence]}; {reason}" if sequence in broken else reason
            if broken:
                buried = select(BURIED.c.sequence).where(BURIED.c.sequence.in_(list(broken)))
                for (sequence,) in connection.execute(buried):
                    del broken[sequence]
        return Prepared(list(fresh.values()), broken, batch.sequence)

    def commit(self, prepared: Prepared, identity: str) -> None:
        """Write what is new, and that everything up to ``prepared.sequence`` of the stream ``identity`` is in.

        Raises LedgerUnavailable, and whatever the database says to rows that it does not take.
        """
        delta = self.counters.tally(prepared.fresh, dead_letters=len(prepared.broken))
        with self._transaction() as connection:
            # before the rows: a file that has to be made again is made from those of earlier transactions
            lengths = self._write_access_log(connection, prepared.fresh)
            if prepared.fresh:
                _insert(connection, REQUESTS, [astuple(entry.request) for entry in prepared.fresh])
                _insert(connection, ATTEMPTS, [astuple(row) for entry in prepared.fresh for row in entry.attempts])
                _insert(connection, RECORDS, [(*entry.identity, entry.raw) for entry in prepared.fresh])
            if prepared.broken:
                _insert(connection, BURIED, list(prepared.broken.items()))
            if delta:
                _upsert(connection, COUNTERS, [(_name(key), str(self._count(key) + delta[key])) for key in delta])
            before = self._checkpoint(connection)
            sequence = max(prepared.sequence, before.sequence if before else 0)
            _upsert(connection, CHECKPOINTS, [(CONSUMER, self._stream, identity, sequence)])
        self.counters.add(delta)
        self._lengths.update(lengths)

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def _count(self, series: Series) -> int:
        return self.counters.counts.get(series, 0)

    def _checkpoint(self, connection: Connection) -> Checkpoint | None:
        found = connection.execute(
            select(CHECKPOINTS.c.identity, CHECKPOINTS.c.sequence).where(CHECKPOINTS.c.consumer == CONSUMER)
        ).first()
        return None if found is None else Checkpoint(found.identity, found.sequence)

    def _known(
        self, connection: Connection, entries: dict[tuple[str, str], Entry]
    ) -> Iterator[tuple[tuple[str, str], bytes]]:
        ids = [request_id for request_id, _ in entries]
        for start in range(0, len(ids), _LOOK_UP):
            wanted = select(REQUESTS.c.id, REQUESTS.c.day).where(REQUESTS.c.id.in_(ids[start : start + _LOOK_UP]))
            for row in connection.execute(wanted).all():
                identity = (row.id, row.day)
                if identity in entries:
                    stored = select(RECORDS.c.record).where(RECORDS.c.id == row.id, RECORDS.c.day == row.day)
                    yield identity, connection.execute(stored).scalar_one()

    def _write_access_log(self, connection: Connection, fresh: list[Entry]) -> dict[str, int]:
        if self._access_log.oldest() != self._oldest:
            self._forget_old_days(connection)
        by_day: dict[str, bytearray] = {}
        for entry in fresh:
            if entry.request.day >= self._oldest:
                by_day.setdefault(entry.request.day, bytearray()).extend(entry.line)
        lengths = {
            day: self._append(connection, day, bytes(lines), self._lengths.get(day, 0)) for day, lines in by_day.items()
        }
        if lengths:
            _upsert(connection, ACCESS_FILES, list(lengths.items()))
        return lengths

    def _append(self, connection: Connection, day: str, data: bytes, committed: int) -> int:
        return self._access_log.append(day, data, committed, lambda: self._lines(connection, day))

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

    def _forget_old_days(self, connection: Connection) -> None:
        self._oldest = self._access_log.oldest()
        self._access_log.sweep()
        connection.execute(delete(ACCESS_FILES).where(ACCESS_FILES.c.day < self._oldest))
        self._lengths = {day: length for day, length in self._lengths.items() if day >= self._oldest}

    @contextmanager
    def _transaction(self) -> Generator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (OperationalError, OSError) as error:
            raise LedgerUnavailable(f"the ledger does not take writes: {error}") from error


def _name(series: Series) -> str:
    return msgspec.json.encode(series).decode()


_DIALECT: Final = sqlite.dialect()


def _compiled(statement: Any) -> str:
    # compiled once: the driver then takes plain tuples, which is several times quicker than parameters by name
    return str(statement.compile(dialect=_DIALECT))


def _statements(table: Table) -> tuple[str, str]:
    insert = sqlite.insert(table)
    keys = [column.name for column in table.primary_key]
    changes = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
    return _compiled(table.insert()), _compiled(insert.on_conflict_do_update(index_elements=keys, set_=changes))


_TABLES: Final = (REQUESTS, ATTEMPTS, RECORDS, BURIED, COUNTERS, CHECKPOINTS, ACCESS_FILES)
_STATEMENTS: Final = {table.name: _statements(table) for table in _TABLES}


def _insert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    connection.exec_driver_sql(_STATEMENTS[table.name][0], list(rows))


def _upsert(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    connection.exec_driver_sql(_STATEMENTS[table.name][1], list(rows))
