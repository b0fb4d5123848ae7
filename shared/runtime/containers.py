"""What containers need before the first of them starts: ``python -m shared.runtime.containers``, at every start.

It makes the secrets at the first start, gives each container its own share of them, and sees that the log's store and
its key belong together: only then may nats-server start. The master key, and the key of the store that it wraps, are
no share but the thing itself: the gateway may replace them, and whoever needs them looks at the same files.

``--master-key``: take the one on standard input for a stack that has none yet, to restore a backup into it.
"""

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.kernel.errors import LocalRouterError, StartRefused
from shared.kernel.secrets import KEY_BYTES, key_id
from shared.runtime.atomic_file import write_atomically
from shared.runtime.master_key import FILE_VARIABLE, VARIABLE, load_master_key, load_master_keys
from shared.runtime.nats_config import render
from shared.runtime.nats_users import BACKUP, BOOTSTRAP, RESTORE, SYSTEM, USERS
from shared.runtime.store_key import KEY_FILE, STORE, open_store_key

MASTER: Final = "master-key"
MASTER_SHARE: Final = "master"
"""The volume of the master key, which the gateway may write."""
DATABASE: Final = "database-password"
_ADMIN: Final = "admin-token"
_SERVICE: Final = "service-token"
_GRAFANA: Final = "grafana-password"
_NATS: Final = "nats-password"
_OWNER: Final = 0o400
_ANYBODY: Final = 0o444
_MONITOR_PORT: Final = 8222

SHARES: Final[Mapping[str, Mapping[str, str]]] = {
    "gateway": {_ADMIN: _ADMIN, _SERVICE: _SERVICE, _NATS: "nats-gateway", "nats-backup-password": f"nats-{BACKUP}"},
    "router": {_SERVICE: _SERVICE, _NATS: "nats-router"},
    "providers": {_SERVICE: _SERVICE, _NATS: "nats-providers"},
    "metrics": {_SERVICE: _SERVICE, _NATS: "nats-metrics", DATABASE: DATABASE},
    "streams": {_NATS: f"nats-{BOOTSTRAP}", "nats-system-password": f"nats-{SYSTEM}"},
    "restore": {_NATS: "nats-gateway", "nats-restore-password": f"nats-{RESTORE}"},
    "cli": {_ADMIN: _ADMIN},
    "postgres": {DATABASE: DATABASE},
    "prometheus": {_SERVICE: _SERVICE},
    "grafana": {_GRAFANA: _GRAFANA, DATABASE: DATABASE},
}
"""By container: the file it reads, and which secret that is. Each share is a volume that nobody else mounts, and is
written anew at every start."""

_FOREIGN: Final = frozenset({"postgres", "prometheus", "grafana"})
"""Their images have users of their own, who must be able to read their share."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the volumes are mounted."""

    shares: Path
    """One folder per container, ``all`` with every secret but one, and ``master`` with that one."""
    nats: Path
    """The log's volume, with its store."""

    @property
    def master(self) -> Path:
        """The master key."""
        return self.shares / MASTER_SHARE / MASTER


def prepare(places: Places, *, max_store_bytes: int) -> None:
    """Make what is missing and give everybody their share.

    Raises StartRefused, with nothing in the store changed: a volume that cannot be written, a secret that is gone and
    cannot be made anew, a key of another store.
    """
    try:
        kept = _kept(places)
        _prepare_nats(places, kept, max_store_bytes)
        for container, share in SHARES.items():
            for file, name in share.items():
                _give(places, container, file, kept[name])
    except OSError as error:
        raise StartRefused(f"{error.filename or places.shares} cannot be written: {error.strerror}") from error


def take_master_key(places: Places, text: str) -> None:
    """Make this master key the stack's, which must have none, or the same; raises StartRefused."""
    load_master_key(places.shares, {VARIABLE: text})
    try:
        if _keep(places.master, text.strip()) != text.strip():
            raise StartRefused(f"{places.master} is there already, and is another one")
    except OSError as error:
        raise StartRefused(f"{error.filename or places.master} cannot be written: {error.strerror}") from error


def _kept(places: Places) -> dict[str, str]:
    """Return every secret; the master key is made last, so that a first start that was cut short goes on."""
    folder, key = places.shares / "all", places.master.with_name(KEY_FILE)
    if key.exists() and not (folder / DATABASE).exists():
        raise StartRefused(f"{folder / DATABASE} is missing, and the database was set up with it: restore it")
    if key.exists() and not places.master.exists():
        raise StartRefused(f"{places.master} is missing, and the log was sealed under it: restore it")
    made = {DATABASE: _random(), _GRAFANA: _random(), _SERVICE: _random(), _ADMIN: f"lra-{_random()}"}
    made |= {f"nats-{user}": _random() for user in USERS}
    kept = {name: _keep(folder / name, value) for name, value in made.items()}
    _keep(places.master, os.urandom(KEY_BYTES).hex())
    return kept


def _keep(path: Path, value: str) -> str:
    if not path.exists():
        write_atomically(path, f"{value}\n".encode(), mode=_OWNER)
    found = path.read_text().strip()
    if not found:
        raise StartRefused(f"{path} is empty: restore it")
    return found


def _give(places: Places, container: str, file: str, content: str) -> None:
    path = places.shares / container / file
    mode = _ANYBODY if container in _FOREIGN else _OWNER
    write_atomically(path, f"{content}\n".encode(), mode=mode)


def _prepare_nats(places: Places, kept: Mapping[str, str], max_store_bytes: int) -> None:
    sealing, *older = load_master_keys(places.shares, {FILE_VARIABLE: str(places.master)}).ring()
    (places.nats / STORE).mkdir(exist_ok=True, mode=0o700)
    key = open_store_key(places.nats, sealing, older=older, key_folder=places.master.parent)
    passwords = {user: kept[f"nats-{user}"] for user in USERS}
    config = render(
        host="0.0.0.0",
        port=4222,
        store=Path("/data") / STORE,
        log_file=None,
        monitor_port=_MONITOR_PORT,
        max_store_bytes=max_store_bytes,
        passwords=passwords,
    )
    _give(places, "nats", "nats.conf", config)
    _give(places, "nats", "store-key", key)
    _give(places, "nats", "key-id", key_id(bytes.fromhex(key)))


def _random() -> str:
    return secrets.token_urlsafe(32)


def main(environ: Mapping[str, str], arguments: Sequence[str] = ()) -> int:
    """Run with ``LOCALROUTER_NATS__MAX_STORE_BYTES``; returns the exit code."""
    places = Places(shares=Path("/secrets"), nats=Path("/nats"))
    try:
        if "--master-key" in arguments:
            take_master_key(places, sys.stdin.read())
        prepare(places, max_store_bytes=int(environ["LOCALROUTER_NATS__MAX_STORE_BYTES"]))
    except LocalRouterError as error:
        sys.stderr.write(f"bootstrap: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ, sys.argv[1:]))
