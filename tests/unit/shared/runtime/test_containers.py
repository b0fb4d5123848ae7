from pathlib import Path

import pytest

from shared.kernel.errors import StartRefused
from shared.runtime.containers import DATABASE, MASTER, SHARES, Places, prepare
from shared.runtime.nats_users import BOOTSTRAP, SERVICES, SYSTEM

MOST = 10 * 1024**3


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """The volumes of a first start: folders that are there and empty."""
    for name in ("all", "nats", *SHARES):
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
    shares = {name: {path.name for path in (places.shares / name).iterdir()} for name in SHARES}
    assert {name for name, files in shares.items() if MASTER in files} == {"gateway", "providers"}
    assert {name for name, files in shares.items() if DATABASE in files} == {"metrics", "postgres", "grafana"}
    assert "store-key" in {path.name for path in (places.shares / "nats").iterdir()}
    assert not [name for name, files in shares.items() if "store-key" in files]


def test_secrets_are_for_their_reader_alone(places: Places) -> None:
    prepare(places, max_store_bytes=MOST)
    for name in ("all", "gateway", "providers", "metrics", "nats"):
        assert {path.stat().st_mode & 0o777 for path in (places.shares / name).iterdir()} == {0o400}


def test_nats_listens_inside_with_a_password_of_its_own_for_everybody(places: Places) -> None:
    prepare(places, max_store_bytes=MOST)
    config = (places.shares / "nats/nats.conf").read_text()
    passwords = [(places.shares / f"all/nats-{user}").read_text().strip() for user in (SYSTEM, BOOTSTRAP, *SERVICES)]
    assert len(set(passwords)) == len(passwords)
    assert all(f'password: "{password}"' in config for password in passwords)
    for line in ('host: "0.0.0.0"', 'http: "127.0.0.1:8222"', "sync_interval: always", 'store_dir: "/data/store"'):
        assert line in config


def test_a_wrong_master_key_is_refused_and_nothing_changes(places: Places) -> None:
    prepare(places, max_store_bytes=MOST)
    use(places)
    (places.shares / "all" / MASTER).chmod(0o600)
    (places.shares / "all" / MASTER).write_text("00" * 32)
    before = content(places)
    with pytest.raises(StartRefused, match="master key is not the one"):
        prepare(places, max_store_bytes=MOST)
    assert {name: before[name] for name in before if "/nats/" in name} == {
        name: data for name, data in content(places).items() if "/nats/" in name
    }


@pytest.mark.parametrize("lost", [MASTER, DATABASE])
def test_a_secret_that_others_were_set_up_with_is_not_made_anew(places: Places, lost: str) -> None:
    prepare(places, max_store_bytes=MOST)
    use(places)
    (places.shares / "all" / lost).unlink()
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
