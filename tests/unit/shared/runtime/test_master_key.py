import base64
import threading
from pathlib import Path

import pytest

from shared.kernel.errors import StartRefused
from shared.runtime.master_key import load_master_key, load_master_keys

KEY = bytes(range(32))


def test_the_environment_comes_first_in_hex_or_base64(tmp_path: Path) -> None:
    (tmp_path / "master.key").write_text(bytes(32).hex())
    for text in (KEY.hex(), KEY.hex().upper() + "\n", base64.b64encode(KEY).decode()):
        assert load_master_key(tmp_path, {"LOCALROUTER_MASTER_KEY": text}) == KEY
        file = tmp_path / "elsewhere"
        file.write_text(text)
        assert load_master_key(tmp_path, {"LOCALROUTER_MASTER_KEY_FILE": str(file)}) == KEY


def test_the_first_start_makes_one_that_stays_and_is_private(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    key = load_master_key(home, {})
    assert len(key) == 32
    assert load_master_key(home, {}) == key != load_master_key(tmp_path, {})
    assert (home / "master.key").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in home.iterdir()} == {"master.key", "master.key.lock"}


def test_many_first_starts_agree_on_one(tmp_path: Path) -> None:
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(load_master_key(tmp_path, {}))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.parametrize(
    "text", ["", "short", KEY.hex()[:-1], KEY.hex()[:-1] + "g", base64.b64encode(KEY[:-1]).decode()]
)
def test_what_is_no_key_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "master.key").write_text(text)
    for environ in ({"LOCALROUTER_MASTER_KEY": text}, {}):
        with pytest.raises(StartRefused, match="32 bytes") as refused:
            load_master_key(tmp_path, environ)
        assert not text or text not in str(refused.value)
    assert (tmp_path / "master.key").read_text() == text


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="cannot be read"):
        load_master_key(tmp_path, {"LOCALROUTER_MASTER_KEY_FILE": str(tmp_path / "none")})
    with pytest.raises(StartRefused, match="cannot be read"):
        load_master_key(tmp_path, {"LOCALROUTER_MASTER_KEY_FILE": str(tmp_path)})


def test_a_lost_key_of_sealed_things_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "store-key.json").write_text("{}")
    with pytest.raises(StartRefused, match="restore it"):
        load_master_key(tmp_path, {})
    assert not (tmp_path / "master.key").exists()


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    ring = load_master_keys(tmp_path, {}).ring()
    left = tmp_path / ".master.key.a1b2c3_d"
    others = [tmp_path / name for name in (".master.key.bak", ".master.keys.a1b2c3_d", "master.key.a1b2c3_d")]
    for path in (left, *others):
        path.write_text("f" * 64)
    assert load_master_keys(tmp_path, {}).ring() == ring
    assert not left.exists()
    assert all(path.exists() for path in others)
