"""Local snapshots of folds: stream identity, sequence and state behind a checksum; a damaged one counts as none."""

import contextlib
import hashlib
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import structlog

_SUFFIX: Final = ".snapshot"
_MAGIC: Final = b"LRSNAP01"
_LENGTHS: Final = struct.Struct("!QII")

log = structlog.get_logger("log")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A fold's state as of ``sequence`` of the stream ``identity``."""

    identity: str
    sequence: int
    state: bytes


class SnapshotStore:
    """One folder of snapshots, written atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> Snapshot | None:
        """Return the snapshot, or None where there is none that can be trusted."""
        try:
            raw = self._path(name).read_bytes()
        except OSError:
            return None
        return decode_snapshot(raw)

    def save(self, name: str, snapshot: Snapshot) -> None:
        """Replace the snapshot (temporary file, rename): an interrupted write leaves the old one.

        Where it cannot be written there is an older one, or none: a start then reads more of the log.
        """
        writer = f"{socket.gethostname()}.{os.getpid()}"  # containers may share the folder, and each is process 1
        temporary = self._path(name).with_suffix(f".{writer}.tmp")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_bytes(encode_snapshot(snapshot))
            temporary.replace(self._path(name))
        except OSError as error:
            log.warning("no snapshot written", name=name, why=error.strerror)
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def within(self, name: str) -> "SnapshotStore":
        """Return a store of its own inside this one."""
        return SnapshotStore(self._folder / name)

    def names(self) -> list[str]:
        """Return the names of what is there."""
        return sorted(unquote(path.stem) for path in self._folder.glob(f"*{_SUFFIX}"))

    def remove(self, name: str) -> None:
        """Forget one."""
        self._path(name).unlink(missing_ok=True)

    def any(self) -> bool:
        """Whether anything was ever kept here."""
        return any(self._folder.rglob(f"*{_SUFFIX}"))

    def _path(self, name: str) -> Path:
        return self._folder / f"{quote(name, safe='')}{_SUFFIX}"


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return the file's bytes."""
    identity = snapshot.identity.encode()
    body = _LENGTHS.pack(snapshot.sequence, len(identity), len(snapshot.state)) + identity + snapshot.state
    return _MAGIC + hashlib.sha256(body).digest() + body


def decode_snapshot(raw: bytes) -> Snapshot | None:
    """Read the file's bytes; None for a cut, changed or foreign file."""
    body = raw[40:]
    if raw[:8] != _MAGIC or hashlib.sha256(body).digest() != raw[8:40]:
        return None
    sequence, identity_length, state_length = _LENGTHS.unpack_from(body)
    identity_end = _LENGTHS.size + identity_length
    if len(body) != identity_end + state_length:
        return None
    return Snapshot(body[_LENGTHS.size : identity_end].decode(), sequence, body[identity_end:])
