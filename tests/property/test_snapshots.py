import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from shared.log.snapshots import Snapshot, SnapshotStore, decode_snapshot, encode_snapshot

SNAPSHOTS = st.builds(
    Snapshot,
    identity=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    sequence=st.integers(0, 2**64 - 1),
    state=st.binary(max_size=400),
)


@given(SNAPSHOTS)
def test_a_snapshot_is_read_back_as_it_was(snapshot: Snapshot) -> None:
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


@given(SNAPSHOTS, st.data())
def test_a_changed_byte_or_a_missing_end_makes_it_none(snapshot: Snapshot, data: st.DataObject) -> None:
    raw = encode_snapshot(snapshot)
    at = data.draw(st.integers(0, len(raw) - 1))
    flipped = raw[:at] + bytes([raw[at] ^ (1 << data.draw(st.integers(0, 7)))]) + raw[at + 1 :]
    assert decode_snapshot(flipped) is None
    assert decode_snapshot(raw[:at]) is None
    assert decode_snapshot(raw + b"x") is None


@given(st.binary(max_size=200))
def test_foreign_bytes_are_none(raw: bytes) -> None:
    assert decode_snapshot(raw) is None
    assert decode_snapshot(b"LRSNAP01" + raw) is None


def test_a_store_replaces_and_forgets_nothing_else(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "new")
    assert store.load("a") is None
    for sequence in (1, 2):
        store.save("a", Snapshot("i", sequence, b"state"))
    store.save("b", Snapshot("i", 9, b""))
    assert store.load("a") == Snapshot("i", 2, b"state")
    assert store.load("b") == Snapshot("i", 9, b"")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.snapshot", "b.snapshot"]


def test_what_cannot_be_opened_is_none() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.snapshot").mkdir()
        assert SnapshotStore(Path(folder)).load("a") is None
