"""The data folder belongs to one process at a time, and to the nats-server that it started."""

import asyncio
import contextlib
import fcntl
import os
import time
from pathlib import Path

from shared.kernel.errors import StartRefused


class FolderLock:
    """A lock on ``<folder>/lock`` that ends with the last process that holds its descriptor, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """What a child inherits to hold the lock too: nothing else may start while it still writes."""
        if self._descriptor is None:
            raise ValueError("the folder is not locked")
        return self._descriptor

    async def acquire(self, wait_s: float = 5.0) -> None:
        """Take the lock; raises StartRefused naming the process that has it.

        A holder that is dead leaves a nats-server that is just ending: that one is waited for.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + wait_s
        try:
            while not _locked(descriptor):
                pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                if _alive(pid) or time.monotonic() >= deadline:
                    raise StartRefused(f"{self._folder} is in use by process {pid or '(unknown)'}: stop it first")
                await asyncio.sleep(0.02)
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _locked(descriptor: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _alive(pid: str) -> bool:
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
