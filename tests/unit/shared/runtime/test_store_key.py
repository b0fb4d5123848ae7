import os
from pathlib import Path

import pytest

from shared.kernel.errors import StartRefused
from shared.runtime.store_key import KEY_FILE, STORE, open_store_key

MASTER = bytes(range(32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / STORE).mkdir()
    return tmp_path


def fill(folder: Path) -> None:
    block = folder / STORE / "jetstream" / "LOCALROUTER" / "streams" / "LR_CONFIG" / "1.blk"
    block.parent.mkdir(parents=True)
    block.write_bytes(os.urandom(100))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_store_gets_a_random_key_that_stays(folder: Path) -> None:
    key = open_store_key(folder, MASTER)
    assert len(bytes.fromhex(key)) == 32
    fill(folder)
    assert open_store_key(folder, MASTER) == key
    assert key not in "".join(map(str, snapshot(folder).values()))
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_two_stores_have_two_keys(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / STORE).mkdir(parents=True)
    assert open_store_key(tmp_path / "a", MASTER) != open_store_key(tmp_path / "b", MASTER)


@pytest.mark.parametrize("lost", [KEY_FILE, f"{STORE}/key-check"])
def test_a_store_in_use_without_its_files_is_refused_and_left_alone(folder: Path, lost: str) -> None:
    open_store_key(folder, MASTER)
    fill(folder)
    (folder / lost).unlink()
    before = snapshot(folder)
    with pytest.raises(StartRefused, match="backup"):
        open_store_key(folder, MASTER)
    assert snapshot(folder) == before


def test_a_start_that_was_cut_short_before_the_store_was_used_goes_on(folder: Path) -> None:
    key = open_store_key(folder, MASTER)
    (folder / STORE / "key-check").unlink()
    assert open_store_key(folder, MASTER) == key


def test_another_master_key_is_named_as_the_cause(folder: Path) -> None:
    open_store_key(folder, MASTER)
    fill(folder)
    before = snapshot(folder)
    with pytest.raises(StartRefused, match="the master key is not the one"):
        open_store_key(folder, bytes(32))
    assert snapshot(folder) == before


def test_a_key_file_of_another_store_is_refused(folder: Path, tmp_path: Path) -> None:
    open_store_key(folder, MASTER)
    fill(folder)
    other = tmp_path / "other"
    (other / STORE).mkdir(parents=True)
    open_store_key(other, MASTER)
    (folder / KEY_FILE).write_bytes((other / KEY_FILE).read_bytes())
    with pytest.raises(StartRefused, match="another store"):
        open_store_key(folder, MASTER)


def test_no_changed_byte_of_the_key_file_opens(folder: Path) -> None:
    open_store_key(folder, MASTER)
    fill(folder)
    good = (folder / KEY_FILE).read_bytes()
    opened = 0
    for at in range(len(good)):
        (folder / KEY_FILE).write_bytes(good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1 :])
        try:
            open_store_key(folder, MASTER)
        except StartRefused:
            continue
        opened += 1
    # What names the master key and the context is no secret: the one words a refusal, the other is bound in besides.
    assert opened <= len('"master_id":"0123456789abcdef"') + len('"context"')
