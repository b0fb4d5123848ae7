"""The master key: from the environment, from a file, or made at the first start; it seals every other key."""

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from shared.kernel.errors import StartRefused
from shared.kernel.secrets import KEY_BYTES

VARIABLE: Final = "LOCALROUTER_MASTER_KEY"
FILE_VARIABLE: Final = "LOCALROUTER_MASTER_KEY_FILE"
FILE: Final = "master.key"

log = structlog.get_logger("master_key")


def load_master_key(home: Path, environ: Mapping[str, str]) -> bytes:
    """Return the 32 bytes of the master key.

    The first of these counts: ``LOCALROUTER_MASTER_KEY`` (hex or base64), the file that
    ``LOCALROUTER_MASTER_KEY_FILE`` names, ``master.key`` in the data folder, which is made when there is none. Raises
    StartRefused for one that does not read, and for a missing one where things were sealed already.
    """
    if VARIABLE in environ:
        return _parse(environ[VARIABLE], f"${VARIABLE}")
    if FILE_VARIABLE in environ:
        return _read(Path(environ[FILE_VARIABLE]))
    path = home / FILE
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077 and os.name == "posix":
        log.warning("others may read the master key", path=str(path), advice=f"chmod 600 {path}")
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise StartRefused(f"the master key in {path} cannot be read: {error.strerror}") from error
    return _parse(text, str(path))


def _parse(text: str, where: str) -> bytes:
    text = text.strip()
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


def _make(path: Path) -> None:
    if (path.parent / "nats" / "store-key.json").exists():
        raise StartRefused(
            f"{path} is missing, and what is in {path.parent} was sealed under it: restore it, or set ${VARIABLE}"
        )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".master.key.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{os.urandom(KEY_BYTES).hex()}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename, this never replaces the key that another process just made
        except FileExistsError:
            return
    finally:
        Path(temporary).unlink()
    log.info("made a master key: keep a copy, without it no stored secret opens", path=str(path))
