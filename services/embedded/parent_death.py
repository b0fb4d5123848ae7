"""A child ends when its parent does, even when the parent is killed."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1

KERNEL_TELLS: Final = sys.platform == "linux"
"""Whether the kernel itself signals the children of a dead parent (prctl(2))."""


def die_with_parent() -> Callable[[], None]:
    """Return what a child runs between fork and exec so that the kernel ends it with its parent (Linux)."""
    libc = ctypes.CDLL(None)  # before the fork: nothing may be loaded after it
    parent = os.getpid()

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return arm


class Watcher:
    """A shell that waits for the parent's end of a pipe to close and then ends the child: for other systems."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def watch(self, pid: int) -> None:
        """Watch over the child ``pid``."""
        self._process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            'read -r _; kill -TERM "$0"',
            str(pid),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    async def stop(self) -> None:
        """Stop watching, leaving the child alone."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None
