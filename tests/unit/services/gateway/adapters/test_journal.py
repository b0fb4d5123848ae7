"""The usage journal: what a killed process leaves behind is all there again, once."""

import uuid
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
