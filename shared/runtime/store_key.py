"""The key that the log's files are encrypted with, and the check that it is theirs before anything opens them.

A nats-server that is started with another key looks healthy and empty, and making a stream then erases the files.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from shared.kernel.errors import SealBroken, StartRefused
from shared.kernel.secrets import Sealed, key_id, seal, unseal
from shared.runtime.atomic_file import write_atomically

KEY_FILE: Final = "store-key.json"
STORE: Final = "store"
_CHECK: Final = "key-check"
_CONTEXT: Final = "nats-store"
_ENTROPY: Final = 56


def open_store_key(folder: Path, master: bytes, *, older: Sequence[bytes] = (), key_folder: Path | None = None) -> str:
    """Return the key of the store in ``folder / STORE`` (64 hex digits), made when the store is new.

    ``older``: master keys that are being replaced, any of which it may still be sealed under. ``key_folder``: where the
    wrapped key is kept, if not in ``folder``. Raises StartRefused,
    with nothing in the store changed, when the master key is another, when the key file is missing or damaged, or when
    it belongs to another store.
    """
    store = folder / STORE
    used = _has_files(store)
    path = (key_folder or folder) / KEY_FILE
    if path.exists():
        key = _unwrap(path, (master, *older))
    elif used:
        raise StartRefused(f"{path} is missing, and without it {store} cannot be read: restore it from a backup")
    else:
        key = os.urandom(32)
        write_atomically(path, msgspec.json.encode(_wrapped(key, master)))
    check = store / _CHECK
    if check.exists() or used:
        if not check.exists() or check.read_text().strip() != key_id(key):
            raise StartRefused(f"{path} belongs to another store than {store}: restore the two from the same backup")
    else:
        write_atomically(check, key_id(key).encode())
    return key.hex()


def _wrapped(key: bytes, master: bytes) -> Sealed:
    return seal(key, master=master, context=_CONTEXT, entropy=os.urandom(_ENTROPY))


def rewrap_store_key(folder: Path, ring: Sequence[bytes]) -> bool:
    """Wrap the key of the store in ``folder`` by the first of ``ring``; False: it was, or there is none.

    Killed at any point it leaves a key that the ring opens. Raises StartRefused where it does not open, or cannot be
    written.
    """
    path = folder / KEY_FILE
    if not path.exists():
        return False
    sealed = _read(path)
    if sealed.master_id == key_id(ring[0]):
        return False
    key = _unwrap(path, ring)
    try:
        write_atomically(path, msgspec.json.encode(_wrapped(key, ring[0])))
    except OSError as error:
        raise StartRefused(f"{path} cannot be written: {error.strerror}") from error
    return True


def _read(path: Path) -> Sealed:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Sealed)
    except msgspec.DecodeError as error:
        raise StartRefused(f"{path} is damaged: restore it from a backup") from error


def _unwrap(path: Path, ring: Sequence[bytes]) -> bytes:
    sealed = _read(path)
    master = next((known for known in ring if key_id(known) == sealed.master_id), ring[0])
    try:
        return bytes(unseal(sealed, master=master, context=_CONTEXT))
    except SealBroken as error:
        if error.other_master:
            raise StartRefused(f"the master key is not the one that {path} was sealed under: use that one") from error
        raise StartRefused(f"{path} was changed: restore it from a backup") from error


def _has_files(store: Path) -> bool:
    return any(path.is_file() for path in (store / "jetstream").rglob("*"))
