"""The usage journal: what a killed process leaves behind is all there again, once."""

import contextlib
import os
import resource
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.gateway.adapters import journal as module
from services.gateway.adapters.journal import Journal
from shared.kernel.errors import StartRefused

A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


def cut(opened: bytes) -> bytes:
    return opened + b", cut"


def reopened(journal: Journal) -> Journal:
    journal.close()
    return Journal(journal.folder, cut)


def records(journal: Journal) -> list[bytes]:
    found, _ = journal.records_after(journal.acked, 1000, 1_000_000)
    return found


def test_closed_records_come_back_in_order_until_they_are_acknowledged(tmp_path: Path) -> None:
    journal = Journal(tmp_path, cut)
    journal.opened(A, b"a was cut")
    journal.closed(A, b"a")
    journal.closed(B, b"b")
    journal = reopened(journal)
    assert records(journal) == [b"a", b"b"]
    first, position = journal.records_after(journal.acked, 1, 1_000_000)
    assert journal.waiting_records == 2
    journal.acknowledge(position, len(first))
    assert first == [b"a"]
    journal = reopened(journal)
    assert records(journal) == [b"b"]
    assert journal.waiting_records == 1


def test_a_request_that_a_crash_cut_short_is_closed_once_with_what_was_opened_last(tmp_path: Path) -> None:
    journal = Journal(tmp_path, cut)
    journal.opened(A, b"a at the first candidate")
    journal.opened(B, b"b")
    journal.closed(B, b"b is whole")
    journal.opened(A, b"a at the second candidate")
    journal = reopened(journal)
    assert journal.interrupted == 1
    assert records(journal) == [b"b is whole", b"a at the second candidate, cut"]
    journal = reopened(journal)
    assert journal.interrupted == 0
    assert records(journal) == [b"b is whole", b"a at the second candidate, cut"]


@pytest.mark.parametrize("lost", range(1, 40))
def test_a_torn_last_entry_is_where_the_journal_ends(tmp_path: Path, lost: int) -> None:
    journal = Journal(tmp_path, cut)
    journal.closed(A, b"a")
    journal.closed(B, b"b" * 20)
    journal.close()
    [segment] = tmp_path.glob("*.journal")
    segment.write_bytes(segment.read_bytes()[:-lost])
    assert records(Journal(tmp_path, cut)) == [b"a"]


def test_a_changed_byte_ends_the_segment_and_the_next_one_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path, cut)
    journal.closed(A, b"a")
    journal.closed(B, b"b")
    journal.close()
    [segment] = tmp_path.glob("*.journal")
    raw = bytearray(segment.read_bytes())
    raw[-1] ^= 1
    segment.write_bytes(raw)
    journal = Journal(tmp_path, cut)
    journal.closed(C, b"c")
    assert records(reopened(journal)) == [b"a", b"c"]


def test_segments_go_when_all_in_them_is_acknowledged_and_none_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100)
    journal = Journal(tmp_path, cut)
    journal.opened(A, b"a is open")
    for number in range(10):
        journal.closed(str(uuid.UUID(int=100 + number)), b"x" * 50)
    shipped, end = journal.records_after(journal.acked, 1000, 1_000_000)
    journal.acknowledge(end, len(shipped))
    assert len(list(tmp_path.glob("*.journal"))) > 5, "the oldest segment holds an open request"
    journal.closed(A, b"a")
    shipped, end = journal.records_after(journal.acked, 1000, 1_000_000)
    journal.acknowledge(end, len(shipped))
    assert len(list(tmp_path.glob("*.journal"))) <= 2
    assert journal.waiting_bytes() == journal.waiting_records == 0


def test_records_are_handed_out_within_the_bounds_of_an_envelope(tmp_path: Path) -> None:
    journal = Journal(tmp_path, cut)
    for number in range(10):
        journal.closed(str(uuid.UUID(int=number)), b"x" * 100)
    few, position = journal.records_after(journal.acked, 3, 1_000_000)
    small, after = journal.records_after(position, 100, 250)
    assert (len(few), len(small)) == (3, 2)
    rest, _ = journal.records_after(after, 100, 1_000_000)
    assert len(rest) == 5
    large, _ = journal.records_after(after, 100, 1)
    assert len(large) == 1, "one record always fits"


def test_the_folder_belongs_to_one_gateway(tmp_path: Path) -> None:
    journal = Journal(tmp_path, cut)
    with pytest.raises(StartRefused, match=r"gateway\.id"):
        Journal(tmp_path, cut)
    journal.close()
    Journal(tmp_path, cut).close()


def test_a_full_journal_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, cut)
    assert not journal.full
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    journal.closed(A, b"a")
    assert journal.full


def test_more_than_memory_keeps_is_read_back_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECENT_BYTES", 500)
    journal = Journal(tmp_path, cut)
    wanted: list[bytes] = []
    got: list[bytes] = []
    position = journal.acked
    for burst in (1, 20, 3, 20, 1):
        for _ in range(burst):
            wanted.append(b"record %d" % len(wanted) + b"." * 90)
            journal.closed(str(uuid.UUID(int=len(wanted))), wanted[-1])
        while True:
            records, position = journal.records_after(position, 7, 300)
            if not records:
                break
            got += records
            journal.acknowledge(position, len(records))
    assert got == wanted
    assert journal.waiting_bytes() == journal.waiting_records == 0


@contextlib.contextmanager
def no_room_after(size: int) -> Iterator[None]:
    """Let no file of this process grow past ``size``: the last write before it is cut short, the next one refused."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", range(1, 70, 7))
def test_without_room_nothing_is_opened_and_what_is_closed_waits_and_is_written_later(
    tmp_path: Path, room: int
) -> None:
    journal = Journal(tmp_path, cut)
    journal.opened(A, b"a")
    journal.opened(B, b"b")
    with no_room_after(journal.position[1] + room):
        for number in range(100, 110):
            journal.closed(str(uuid.UUID(int=number)), b"refused %d" % number)
        journal.closed(A, b"a is whole" + b"." * 30)
        with pytest.raises(OSError, match=r"File too large|No space left"):
            journal.opened(C, b"c" * 70)
        assert "cannot be written to disk" in str(journal.problem)
    journal.try_again()
    journal.opened(C, b"c")
    assert journal.problem is None
    journal.closed(B, b"b is whole")
    wanted = [*(b"refused %d" % number for number in range(100, 110)), b"a is whole" + b"." * 30, b"b is whole"]
    assert records(journal) == wanted
    journal = reopened(journal)
    assert records(journal) == [*wanted, b"c, cut"]


def test_killed_without_room_a_request_is_one_that_was_cut_short(tmp_path: Path) -> None:
    journal = Journal(tmp_path, cut)
    journal.opened(A, b"a")
    with no_room_after(journal.position[1] + 20):
        journal.closed(A, b"a is whole")
        (tmp_path / "killed").mkdir()
        for path in (*tmp_path.glob("*.journal"), tmp_path / "life"):
            (tmp_path / "killed" / path.name).write_bytes(path.read_bytes())
    assert records(Journal(tmp_path / "killed", cut)) == [b"a, cut"]
    journal.close()


def test_refusals_that_find_no_room_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECENT_BYTES", 100)
    journal = Journal(tmp_path, cut)
    with no_room_after(0):
        for number in range(50):
            journal.closed(str(uuid.UUID(int=number)), b"x" * 10)
    assert journal.dropped == 50 - 11
    journal.try_again()
    assert len(records(journal)) == 11


def test_a_segment_grows_on_where_there_is_no_room_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100)
    journal = Journal(tmp_path, cut)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        journal.closed(A, b"a" * 100)
        journal.closed(B, b"b" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(list(tmp_path.glob("*.journal"))) == 1
    journal.closed(C, b"c")
    assert len(list(tmp_path.glob("*.journal"))) == 2
    assert records(journal) == [b"a" * 100, b"b" * 100, b"c"]


def test_a_journal_that_cannot_be_written_at_the_start_is_refused_and_let_go(tmp_path: Path) -> None:
    with no_room_after(0), pytest.raises(StartRefused, match="cannot be written"):
        Journal(tmp_path, cut)
    Journal(tmp_path, cut).close()


def test_a_segment_that_is_left_while_it_is_brought_to_the_disk_is_there_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100)
    journal = Journal(tmp_path, cut)
    journal.closed(A, b"a")
    synced = []

    def late(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 1:
            # what the event loop does before this thread comes to it
            journal.closed(B, b"b" * 200)
        os.fstat(descriptor)

    monkeypatch.setattr(module.os, "fsync", late)
    journal.sync()
    assert len(synced) == 2
    assert journal.position == (2, 0)
    journal = reopened(journal)
    assert records(journal) == [b"a", b"b" * 200]
