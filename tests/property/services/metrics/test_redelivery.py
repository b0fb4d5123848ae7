"""Whatever order and however often usage arrives, the ledger ends up the same."""

import itertools
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.metrics.adapters.access_log import AccessLog
from services.metrics.adapters.schema import migrate
from services.metrics.adapters.sqlite import Sqlite
from services.metrics.adapters.writer import Writer
from services.metrics.projections.access import access_line
from services.metrics.projections.ledger import another, fold, read_entry, same
from shared.contracts.usage import UsageRecord
from shared.log.port import Recorded
from shared.testing.usage import NOON, attempt, usage_message, usage_record

TABLES = (
    "requests",
    "attempts",
    "records",
    "buried",
    "counters",
    "checkpoints",
    "access_files",
    "rollup_groups",
    "rollups",
)
FOLDERS = itertools.count()


class FixedClock:
    def now(self) -> Any:
        return NOON

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    import asyncio

    path = tmp_path_factory.mktemp("empty") / "ledger.db"
    asyncio.run(migrate(path))
    return path.read_bytes()


@st.composite
def records(draw: st.DrawFn) -> UsageRecord:
    number = draw(st.integers(1, 12))
    # what a record says follows from its number: two of one number are one record, delivered twice
    tries = [attempt(f"p{n % 3}/m{(n + number) % 4}", "cut", cost=None if n == 2 else n) for n in range(number % 4)]
    record = usage_record(number, *tries, attempt(f"p{number % 2}/last"))
    if number % 5 == 0:
        return msgspec.structs.replace(record, attempts=(), status="refused", router=None)
    return record


@st.composite
def logs(draw: st.DrawFn) -> list[Recorded]:
    contents = draw(st.lists(st.one_of(st.lists(records(), max_size=4), st.just("poison")), min_size=1, max_size=8))
    return [
        Recorded("LR_USAGE", "lr.usage.g", number, b"poison")
        if content == "poison"
        else usage_message(number, *content)
        for number, content in enumerate(contents, 1)
    ]


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Recorded], list[list[Recorded]]]:
    log = draw(logs())
    again = draw(st.lists(st.sampled_from(log), max_size=10))
    order = draw(st.permutations([*log, *again]))
    cuts = sorted(draw(st.sets(st.integers(0, len(order)), max_size=5)))
    ends = [0, *cuts, len(order)]
    return log, [order[start:end] for start, end in itertools.pairwise(ends) if start < end]


def ledger_of(folder: Path, empty: bytes, batches: Sequence[Sequence[Recorded]], restarts: bool) -> dict[str, Any]:
    folder.mkdir()
    path = folder / "ledger.db"
    path.write_bytes(empty)
    writer = open_writer(path)
    for batch in batches:
        writer.commit(writer.prepare(fold(batch)), "stream")
        if restarts:
            writer.close()
            writer = open_writer(path)
    writer.close()
    connection = sqlite3.connect(path)
    state: dict[str, Any] = {
        table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in TABLES
    }
    connection.close()
    for file in sorted((folder / "logs").glob("*")):
        state[file.name] = sorted(file.read_bytes().splitlines())
    return state


def open_writer(path: Path) -> Writer:
    access_log = AccessLog(path.parent / "logs", days=30, clock=FixedClock())
    writer = Writer(
        Sqlite(path),
        stream="LR_USAGE",
        clock=FixedClock(),
        access_log=access_log,
        line=access_line,
        same=same,
        another=another,
        read=read_entry,
    )
    writer.open()
    return writer


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=deliveries(), restarts=st.booleans())
def test_any_order_and_repetition_of_deliveries_ends_in_the_same_state(tmp_path, empty_ledger, given, restarts):
    log, batches = given
    in_order = ledger_of(tmp_path / str(next(FOLDERS)), empty_ledger, [log], restarts=False)
    assert ledger_of(tmp_path / str(next(FOLDERS)), empty_ledger, batches, restarts) == in_order
