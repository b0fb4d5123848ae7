"""The master key: from the environment, a keyring or a file, or made at the first start; it seals every other key.

What is kept is a ring of one key, or, while the master key is rotated, of several: the first seals, all open.
"""

import asyncio
import base64
import binascii
import contextlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from shared.kernel.errors import StartRefused
from shared.kernel.secrets import KEY_BYTES
from shared.runtime import os_keyring
from shared.runtime.atomic_file import locked, sweep, write_atomically
from shared.runtime.store_key import KEY_FILE

VARIABLE: Final = "LOCALROUTER_MASTER_KEY"
FILE_VARIABLE: Final = "LOCALROUTER_MASTER_KEY_FILE"
FILE: Final = "master.key"
_POINTER: Final = "keyring:"
"""What ``master.key`` begins with where the key itself is in the keyring of the operating system."""

log = structlog.get_logger("master_key")


class MasterKeys:
    """The ring of master keys, and the place where it is kept."""

    def __init__(
        self, read: Callable[[], Sequence[bytes]], write: Callable[[Sequence[bytes], Sequence[bytes]], None] | None
    ) -> None:
        """``write`` takes what to keep and instead of what; None: the place is not ours to change."""
        self._read = read
        self._write = write
        self._ring = tuple(read())

    def ring(self) -> Sequence[bytes]:
        """Return the keys as last read: the first seals, each opens what it sealed."""
        return self._ring

    async def again(self) -> Sequence[bytes]:
        """Read them again where they are kept; raises StartRefused."""
        self._ring = tuple(await asyncio.to_thread(self._read))
        return self._ring

    @property
    def ours(self) -> bool:
        """Whether another key can be put in their place."""
        return self._write is not None

    async def keep(self, ring: Sequence[bytes], *, instead_of: Sequence[bytes]) -> None:
        """Put ``ring`` in their place in one step; raises StartRefused where it cannot be written, or where something
        else is there by now: a key that another process put there is never lost."""
        if self._write is None:
            raise StartRefused(f"the master key is given by ${VARIABLE}: it can only be changed there")
        await asyncio.to_thread(self._write, ring, instead_of)
        self._ring = tuple(ring)


def load_master_keys(home: Path, environ: Mapping[str, str]) -> MasterKeys:
    """Return the master keys of a data folder.

    The first of these counts: ``LOCALROUTER_MASTER_KEY`` (hex or base64, several are separated by spaces), the file
    that ``LOCALROUTER_MASTER_KEY_FILE`` names, ``master.key`` in the data folder, which is made when there is none:
    it then says which entry of the operating system's keyring holds the key, or, without a keyring, holds it itself.
    Raises StartRefused for one that does not read, and for a missing one where things were sealed already.
    """
    if VARIABLE in environ:
        given = _parse(environ[VARIABLE], f"${VARIABLE}")
        return MasterKeys(lambda: given, None)
    if FILE_VARIABLE in environ:
        return _in_file(Path(environ[FILE_VARIABLE]))
    path = home / FILE
    if not path.exists():
        _make(path, environ)
    if path.stat().st_mode & 0o077 and os.name == "posix":
        log.warning("others may read the master key", path=str(path), advice=f"chmod 600 {path}")
    return _in_file(path)


def load_master_key(home: Path, environ: Mapping[str, str]) -> bytes:
    """Return the master key that seals; see ``load_master_keys``."""
    return load_master_keys(home, environ).ring()[0]


def move_to_keyring(home: Path) -> None:
    """Move the keys that ``master.key`` holds into the operating system's keyring; raises StartRefused.

    Killed at any point, the file holds the keys or says where they are.
    """
    path = home / FILE
    if not path.exists():
        raise StartRefused(f"there is no {path}: a key that ${VARIABLE} or ${FILE_VARIABLE} gives is yours to keep")
    try:
        sweep(path)
        with locked(path):
            text = _text(path)
            if text.startswith(_POINTER):
                return
            _parse(text, str(path))
            entry = os.urandom(8).hex()
            if not os_keyring.store(entry, text):
                raise StartRefused("there is no keyring that can be used here: the master key stays where it is")
            write_atomically(path, f"{_POINTER}{entry}\n".encode())
    except OSError as error:
        raise StartRefused(f"the master key in {path} cannot be moved: {error.strerror}") from error


def _in_file(path: Path) -> MasterKeys:
    """Return the keys of a file, or of the entry of the keyring that it names: it may come to name one meanwhile."""

    def read() -> Sequence[bytes]:
        text = _text(path)
        if not text.startswith(_POINTER):
            return _parse(text, str(path))
        entry = text[len(_POINTER) :]
        kept = os_keyring.fetch(entry)
        if kept is None:
            raise StartRefused(
                f"the master key is in the keyring (entry {entry!r}, says {path}), which does not give it:"
                f" unlock the keyring, or set ${VARIABLE}"
            )
        return _parse(kept, f"the keyring, entry {entry!r}")

    def write(ring: Sequence[bytes], instead_of: Sequence[bytes]) -> None:
        try:
            sweep(path)
            with locked(path):
                if tuple(read()) != tuple(instead_of):
                    raise StartRefused(f"the master key of {path} was replaced by somebody else meanwhile")
                text = _text(path)
                if not text.startswith(_POINTER):
                    write_atomically(path, f"{_printed(ring)}\n".encode())
                elif not os_keyring.store(text[len(_POINTER) :], _printed(ring)):
                    raise StartRefused("the keyring does not take another master key: unlock it")
        except OSError as error:
            raise StartRefused(f"the master key in {path} cannot be replaced: {error.strerror}") from error

    # one that was killed while it wrote leaves the keys of then in a file of their own
    with contextlib.suppress(OSError):
        sweep(path)
    return MasterKeys(read, write)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError as error:
        raise StartRefused(f"the master key in {path} cannot be read: {error.strerror}") from error


def _printed(ring: Sequence[bytes]) -> str:
    return " ".join(key.hex() for key in ring)


def _parse(text: str, where: str) -> tuple[bytes, ...]:
    return tuple(_one(word, where) for word in text.split() or [""])


def _one(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise StartRefused(
            f"the master key in {where} must be 32 bytes as 64 hex digits or in base64:"
            " `openssl rand -hex 32` prints one"
        )
    return key


def _make(path: Path, environ: Mapping[str, str]) -> None:
    if (path.parent / "nats" / KEY_FILE).exists():
        raise StartRefused(
            f"{path} is missing, and what is in {path.parent} was sealed under it: restore it, or set ${VARIABLE}"
        )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key, entry = os.urandom(KEY_BYTES).hex(), os.urandom(8).hex()
    in_keyring = os_keyring.usable(environ) and os_keyring.store(entry, key)
    with locked(path):
        created = _create(path, f"{_POINTER}{entry}" if in_keyring else key)
    if not created:
        if in_keyring:
            os_keyring.remove(entry)
    elif in_keyring:
        log.info("made a master key in the keyring: keep a copy, without it no stored secret opens", entry=entry)
    else:
        log.warning(
            "made a master key in a file, for there is no keyring here: keep a copy, without it no stored secret opens",
            path=str(path),
        )


def _create(path: Path, text: str) -> bool:
    """Write a file that was not there; False: another process just made it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".master.key.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename, this never replaces the key that another process just made
        except FileExistsError:
            return False
    finally:
        Path(temporary).unlink()
    return True
