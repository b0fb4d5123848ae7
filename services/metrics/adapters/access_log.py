"""The access log's files: one a day, each exactly as long as the ledger says it is.

A file cannot take part in a database transaction, but its length can: the ledger commits, with the rows, how many bytes
of each file belong to them. Bytes past that length come from a try that was never committed and are cut off before the
next write; a file that is shorter (deleted, or lost in a power cut) is made again from the ledger. So every record that
the ledger holds has one line, whatever happened in between.
"""

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final

from shared.kernel.clock import Clock

_NAME: Final = re.compile(r"access-(\d{4}-\d{2}-\d{2})\.jsonl")
_CHUNK: Final = 1 << 20


class AccessLog:
    """Writes the files of one folder; used by the ledger's writer, in its thread."""

    def __init__(self, folder: Path, *, days: int, clock: Clock) -> None:
        """``days``: how many days are kept, today included."""
        self._folder = folder
        self._days = days
        self._clock = clock

    def oldest(self) -> str:
        """Return the first day that is kept, ``YYYY-MM-DD``."""
        return (self._clock.now() - timedelta(days=self._days - 1)).date().isoformat()

    def append(self, day: str, data: bytes, committed: int, lines: Callable[[], Iterable[bytes]]) -> int:
        """Bring the file of ``day`` to its ``committed`` length, add ``data`` and return the new length in bytes.

        ``lines`` are those of every committed record of the day, for a file that has to be made again. Raises OSError.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(day)
        path.touch(mode=0o600)
        with path.open("r+b") as file:
            _restore(file, committed, lines)
            file.write(data)
            return file.tell()

    def is_whole(self, day: str, committed: int) -> bool:
        """Whether the file of ``day`` has its committed length."""
        try:
            return self._path(day).stat().st_size == committed
        except FileNotFoundError:
            return committed == 0

    def sweep(self) -> None:
        """Delete the files of days that are not kept any more; other files are left alone."""
        oldest = self.oldest()
        for path in self._folder.glob("access-*.jsonl"):
            match = _NAME.fullmatch(path.name)
            if match is not None and match[1] < oldest:
                path.unlink(missing_ok=True)

    def _path(self, day: str) -> Path:
        return self._folder / f"access-{day}.jsonl"


def _restore(file: BinaryIO, committed: int, lines: Callable[[], Iterable[bytes]]) -> None:
    size = file.seek(0, 2)
    if size > committed:
        file.truncate(committed)
        file.seek(committed)
    elif size < committed:
        file.seek(0)
        file.truncate()
        buffer = bytearray()
        for line in lines():
            buffer += line
            if len(buffer) > _CHUNK:
                file.write(buffer)
                buffer.clear()
        file.write(buffer)
