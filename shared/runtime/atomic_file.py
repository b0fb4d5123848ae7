"""Files that are whole or not there: a new content replaces the old one in one step, writers take turns."""

import os
import re
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the lock beside ``path`` (``<name>.lock``), waiting for its turn; a holder's death lets it go.

    Raises OSError where the folder cannot be written.
    """
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace what ``path`` holds; after any crash it is the old content or the new one, never a part.

    A symbolic link stays one: the file it points to is replaced. An existing file keeps its mode. Raises OSError.
    """
    target = path.resolve()
    with suppress(FileNotFoundError):
        mode = target.stat().st_mode & 0o777
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def sweep(path: Path) -> None:
    """Remove what writers of ``path`` left beside it that were killed; all of them take its lock. Raises OSError."""
    target = path.resolve()
    name = re.compile(re.escape(f".{target.name}.") + "[a-z0-9_]{8}")
    if any(name.fullmatch(found.name) for found in target.parent.iterdir()):
        with locked(path):
            for found in target.parent.iterdir():
                if name.fullmatch(found.name):
                    found.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":  # a folder cannot be opened there, and NTFS journals the rename itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
