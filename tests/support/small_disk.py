"""A file system with little room, to be filled."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

MEGABYTE = 1024 * 1024


class SmallDisk:
    """What is mounted at ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def empty(self) -> None:
        """Give the room back."""
        self._filler.unlink()

    def forbid_writing(self) -> None:
        """Take no write any more."""
        subprocess.run(["mount", "-o", "remount,ro", self.folder], check=True)

    def free(self) -> int:
        """Return how many bytes are left."""
        return shutil.disk_usage(self.folder).free


def mountable() -> bool:
    """Whether file systems can be mounted by who runs this."""
    return os.name == "posix" and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int, owner: int = 0) -> Iterator[SmallDisk]:
    """Mount a file system of memory at ``folder``, which is gone afterwards."""
    folder.mkdir(exist_ok=True)
    options = f"size={megabytes}m,mode=755,uid={owner}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
