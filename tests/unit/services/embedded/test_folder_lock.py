import asyncio
import os
from pathlib import Path

import pytest

from services.embedded.folder_lock import FolderLock
from shared.kernel.errors import StartRefused


async def test_one_holder_at_a_time_is_named(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "home"), FolderLock(tmp_path / "home")
    await first.acquire()
    with pytest.raises(StartRefused, match=f"process {os.getpid()}"):
        await second.acquire()
    first.release()
    await second.acquire()
    second.release()
    first.release()


async def test_a_child_that_inherited_the_lock_holds_it(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    await lock.acquire()
    child = await asyncio.create_subprocess_exec("sleep", "60", pass_fds=(lock.descriptor,))
    lock.release()
    (tmp_path / "lock").write_text("999999999\n")  # as if the one who started the child were dead
    with pytest.raises(StartRefused, match="in use"):
        await FolderLock(tmp_path).acquire(wait_s=0.1)
    child.kill()
    await child.wait()
    again = FolderLock(tmp_path)
    await again.acquire(wait_s=5)
    again.release()


def test_what_is_not_locked_has_no_descriptor(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not locked"):
        _ = FolderLock(tmp_path).descriptor
