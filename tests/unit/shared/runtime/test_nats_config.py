from pathlib import Path

from shared.log.port import LR_CONFIG, SECRETS
from shared.runtime.nats_config import render
from shared.runtime.nats_users import BOOTSTRAP, SERVICES, publish_rights, subscribe_rights

PASSWORDS = {name: f"pw-{name}" for name in ("system", BOOTSTRAP, *SERVICES)}


def config(store: Path = Path("/data/store")) -> str:
    return render(port=4333, store=store, log_file=store.parent / "log", max_store_bytes=1_000_000, passwords=PASSWORDS)


def test_every_write_is_synced_encrypted_and_bounded() -> None:
    text = config()
    for line in ("sync_interval: always", "cipher: chacha", "key: $LR_JS_KEY", "max_file: 1000000"):
        assert line in text
    assert 'host: "127.0.0.1"' in text
    assert "http" not in text
    assert "monitor" not in text


def test_a_path_with_quotes_stays_one_value() -> None:
    assert 'store_dir: "/da\\"ta \\\\ $x/store"' in config(Path('/da"ta \\ $x/store'))


def test_only_the_bootstrap_user_makes_streams() -> None:
    for user in SERVICES:
        calls = [subject for subject in publish_rights(user) if subject.startswith("$JS.API.")]
        assert not [call for call in calls if any(word in call for word in ("CREATE.*", "DELETE", "PURGE", "UPDATE"))]
    assert "$JS.API.STREAM.CREATE.*" in publish_rights(BOOTSTRAP)
    assert not [subject for subject in publish_rights(BOOTSTRAP) if not subject.startswith("$JS.API.STREAM.")]


def test_no_two_services_decide_the_same_aggregates() -> None:
    owners: dict[str, str] = {}
    for user in SERVICES:
        for subject in publish_rights(user):
            if subject.startswith("lr."):
                assert owners.setdefault(subject, user) == user
    assert "lr.config.>" not in owners


def test_secrets_are_for_those_who_have_some() -> None:
    readers = {user for user in SERVICES if any(f"KV_{SECRETS}" in subject for subject in publish_rights(user))}
    assert readers == {"gateway", "providers"}
    assert all(f"$JS.API.DIRECT.GET.{LR_CONFIG}" in publish_rights(user) for user in SERVICES)


def test_nobody_hears_the_answers_of_others() -> None:
    rights = [tuple(subscribe_rights(user)) for user in (BOOTSTRAP, *SERVICES)]
    assert len(set(rights)) == len(rights)
    assert all(subject.startswith("_INBOX_") for right in rights for subject in right)
