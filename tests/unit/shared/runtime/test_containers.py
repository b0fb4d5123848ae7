from pathlib import Path

import pytest

from shared.kernel.errors import StartRefused
from shared.runtime.containers import DATABASE, MASTER, MASTER_SHARE, SHARES, Places, prepare, take_master_key
from shared.runtime.master_key import FILE_VARIABLE, load_master_keys
from shared.runtime.nats_users import USERS
from shared.runtime.store_key import KEY_FILE, rewrap_store_key

MOST = 10 * 1024**3


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """The volumes of a first start: folders that are there and empty."""
    for name in ("all", "nats", MASTER_SHARE, *SHARES):
        (tmp_path / "shares" / name).mkdir(parents=True)
    (tmp_path / "nats").mkdir()
    return Places(tmp_path / "shares", tmp_path / "nats")


def content(places: Places) -> dict[str, bytes]:
    files = [path for folder in (places.shares, places.nats) for path in folder.rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in files}


def use(places: Places) -> None:
    """Write something into the log's store, as a first run does."""
    block = places.nats / "store/jetstream/LOCALROUTER/streams/LR_CONFIG/1.blk"
    block.parent.mkdir(parents=True)
    block.write_bytes(b"sealed")


def test_a_second_start_changes_nothing(places: Places) -> None:
    prepare(places, max_store_bytes=MOST)
    before = content(places)
    use(places)
    prepare(places, max_store_bytes=MOST)
    assert before.items() <= content(places).items()


def test_each_container_gets_its_own_share_and_no_more(places: Places) -> None:
    prepare(places, max_store_bytes=MOST)
    shares = {path.name: {file.name for file in path.iterdir()} for path in places.shares.iterdir()}
    assert {name for name, files in shares.items() if MASTER in files} == {MASTER_SHARE}
    assert shares.pop("all") >= {DATABASE, "admin-token", "service-token", *(f"nats-{user}" for user in USERS)}
    assert {name for name, files in shares.items() if DATABASE in files} == {"metrics", "postgres", "grafana"}
    assert {name for name, files in shares.items() if "store-key" in files} == {"nats"}
    assert {name for name, files in shares.items() if "nats-restore-password" in files} == {"restore"}
    assert {name for name, files in shares.items() if "nats-backup-password" in files} == {"gateway"}


def test_secrets_are_for_their_reader_alone(places: Places) -> None:
    prepare(places, max_store_bytes=MOST)
    for name in ("all", "gateway", "providers", "metrics", "nats", "restore"):
        assert {path.stat().st_mode & 0o777 for path in (places.shares / name).iterdir()} == {0o400}
    assert {path.stat().st_mode & 0o077 for path in (places.shares / MASTER_SHARE).iterdir()} == {0}


def test_nats_listens_inside_with_a_password_of_its_own_for_everybody(places: Places) -> None:
    prepare(places, max_store_bytes=MOST)
    config = (places.shares / "nats/nats.conf").read_text()
    passwords = [(places.shares / f"all/nats-{user}").read_text().strip() for user in USERS]
    assert len(set(passwords)) == len(passwords)
    assert all(f'password: "{password}"' in config for password in passwords)
    for line in ('host: "0.0.0.0"', 'http: "127.0.0.1:8222"', "sync_interval: always", 'store_dir: "/data/store"'):
        assert line in config


def test_a_wrong_master_key_is_refused_and_nothing_changes(places: Places) -> None:
    prepare(places, max_store_bytes=MOST)
    use(places)
    places.master.chmod(0o600)
    places.master.write_text("00" * 32)
    before = content(places)
    with pytest.raises(StartRefused, match="master key is not the one"):
        prepare(places, max_store_bytes=MOST)
    assert {name: before[name] for name in before if "/nats/" in name} == {
        name: data for name, data in content(places).items() if "/nats/" in name
    }


@pytest.mark.parametrize("lost", [f"{MASTER_SHARE}/{MASTER}", f"{MASTER_SHARE}/{KEY_FILE}", f"all/{DATABASE}"])
def test_a_secret_that_others_were_set_up_with_is_not_made_anew(places: Places, lost: str) -> None:
    prepare(places, max_store_bytes=MOST)
    use(places)
    (places.shares / lost).unlink()
    before = content(places)
    with pytest.raises(StartRefused, match=f"{lost} is missing.*restore it"):
        prepare(places, max_store_bytes=MOST)
    assert content(places) == before


def test_a_lost_token_is_made_anew(places: Places) -> None:
    prepare(places, max_store_bytes=MOST)
    before = (places.shares / "gateway/admin-token").read_text()
    (places.shares / "all/admin-token").unlink()
    prepare(places, max_store_bytes=MOST)
    assert (places.shares / "gateway/admin-token").read_text() != before
    assert (places.shares / "gateway/admin-token").read_text() == (places.shares / "cli/admin-token").read_text()


def test_a_first_start_that_was_cut_short_goes_on(places: Places) -> None:
    (places.shares / "all" / DATABASE).write_text("made before the cut\n")
    prepare(places, max_store_bytes=MOST)
    assert (places.shares / "postgres" / DATABASE).read_text() == "made before the cut\n"


def test_a_volume_that_cannot_be_written_is_named(places: Places) -> None:
    (places.shares / "router").rmdir()
    with pytest.raises(StartRefused, match=r"router/.* cannot be written: No such file"):
        prepare(places, max_store_bytes=MOST)


def test_a_master_key_that_was_rotated_stays_so(places: Places) -> None:
    """The gateway rotates it while all runs; the next start finds another ring than it made."""
    prepare(places, max_store_bytes=MOST)
    use(places)
    keys = load_master_keys(places.shares, {FILE_VARIABLE: str(places.master)})
    store_key = (places.shares / "nats/store-key").read_bytes()
    old, new = keys.ring()[0], b"n" * 32
    places.master.chmod(0o600)
    for ring in ((old,), (new, old), (new,)):
        places.master.write_text(" ".join(key.hex() for key in ring))
        prepare(places, max_store_bytes=MOST)
        if len(ring) > 1:
            rewrap_store_key(places.master.parent, ring)
        assert load_master_keys(places.shares, {FILE_VARIABLE: str(places.master)}).ring() == ring
        assert (places.shares / "nats/store-key").read_bytes() == store_key


def test_a_new_stack_takes_the_master_key_of_a_backup_and_an_old_one_keeps_its_own(places: Places) -> None:
    with pytest.raises(StartRefused, match="64 hex digits"):
        take_master_key(places, "a key")
    take_master_key(places, f"{'ab' * 32}\n")
    take_master_key(places, "ab" * 32)
    prepare(places, max_store_bytes=MOST)
    assert places.master.read_text().strip() == "ab" * 32
    with pytest.raises(StartRefused, match="is there already, and is another one"):
        take_master_key(places, "cd" * 32)
    assert places.master.read_text().strip() == "ab" * 32
