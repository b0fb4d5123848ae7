"""The application log's file: whole lines appended by a thread of its own, rotated by size, shared by processes."""

import itertools
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from shared.runtime.atomic_file import locked

MAX_WAITING: Final = 10_000
"""Lines that may wait to be written; what comes on top is counted and dropped: a slow disk never slows a request."""
BATCH_S: Final = 0.05
"""How long lines are collected before they are written together."""


class Line(NamedTuple):
    """One entry: for the file, and where a person should see it, for the terminal."""

    json: bytes
    human: str | None = None


MakesLine = Callable[[], Line]
"""Makes a line once it is written, in the writer's thread; it never raises."""


class RotatingFile:
    """``<path>``, then ``<path>.1`` … ``<path>.<backups>``, the largest number the oldest.

    Several processes may append to one path: each write is one system call on a file opened for appending, and a
    rotation by one is noticed by the others through the file's identity.
    """

    def __init__(self, path: Path, *, max_bytes: int, backups: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._backups = backups
        self._descriptor: int | None = None
        self._torn = False

    def write(self, content: bytes) -> None:
        """Append whole lines; raises OSError where the disk does not take them."""
        descriptor = self._open_current()
        if os.fstat(descriptor).st_size + len(content) > self._max_bytes:
            self._rotate(len(content))
            descriptor = self._open_current()
        if self._torn:
            content = b"\n" + content
        self._torn = True
        while content:
            content = content[os.write(descriptor, content) :]
        self._torn = False

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open_current(self) -> int:
        if self._descriptor is not None and not self._is_current(self._descriptor):
            self.close()
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return self._descriptor

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _rotate(self, coming: int) -> None:
        with locked(self._path):
            with suppress(FileNotFoundError):  # another process may have rotated while this one waited
                size = self._path.stat().st_size
                if size == 0 or size + coming <= self._max_bytes:
                    return
            self.close()  # an open file cannot be renamed on Windows
            names = [self._path, *(self._path.with_name(f"{self._path.name}.{n + 1}") for n in range(self._backups))]
            names[-1].unlink(missing_ok=True)
            for newer, older in reversed(list(itertools.pairwise(names))):
                with suppress(FileNotFoundError):
                    newer.replace(older)


class Terminal:
    """Stderr as the place of the log's lines: in a container the engine keeps them."""

    def write(self, content: bytes) -> None:
        """Append whole lines; raises OSError where nobody takes them."""
        while content:
            content = content[os.write(sys.stderr.fileno(), content) :]

    def close(self) -> None:
        """Stderr is not ours to close."""


class LogWriter:
    """Takes lines from any thread without waiting, and writes them within 100 ms from one thread of its own."""

    def __init__(self, file: RotatingFile | Terminal | None, *, lost: Callable[[int, str], Line]) -> None:
        """``file`` None: only the terminal; ``lost``: makes the line that says how many were dropped and why."""
        self._file = file
        self._lost = lost
        self._waiting: queue.SimpleQueue[Line | MakesLine | threading.Event] = queue.SimpleQueue()
        self._counting = threading.Lock()
        self._dropped = 0
        self._why = ""
        self._failing = False
        self._hurry = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, line: Line | MakesLine) -> None:
        """Take a line, or what makes it; one that finds the queue full is dropped and counted."""
        if self._waiting.qsize() < MAX_WAITING:
            self._waiting.put(line)
        else:
            self._drop(1, "the disk was too slow")

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything put before is written; False when that took longer than ``timeout_s``."""
        done = threading.Event()
        self._waiting.put(done)
        self._hurry.set()
        return done.wait(timeout_s)

    def close(self) -> None:
        """Write what waits, and end."""
        if self._closing:
            return
        self._closing = True
        self.flush()
        self._thread.join(1.0)
        if self._file is not None:
            self._file.close()

    def _run(self) -> None:
        while not self._closing or not self._waiting.empty():
            first = self._waiting.get()
            self._hurry.wait(BATCH_S)
            self._hurry.clear()
            self._write_batch(first)

    def _write_batch(self, first: Line | MakesLine | threading.Event) -> None:
        lines: list[Line] = []
        flushed: list[threading.Event] = []
        items = itertools.chain((first,), self._waiting_now())
        for item in itertools.islice(items, MAX_WAITING):
            if isinstance(item, threading.Event):
                flushed.append(item)
            else:
                lines.append(item if isinstance(item, Line) else item())
        with self._counting:
            dropped, self._dropped = self._dropped, 0
        self._append(lines, dropped)
        for event in flushed:
            event.set()

    def _waiting_now(self) -> Iterator[Line | MakesLine | threading.Event]:
        with suppress(queue.Empty):
            while True:
                yield self._waiting.get_nowait()

    def _append(self, lines: list[Line], dropped: int) -> None:
        written = [*lines, self._lost(dropped, self._why)] if dropped else lines
        _tell("".join(line.human for line in written if line.human is not None))
        if self._file is None or not written:
            return
        try:
            self._file.write(b"".join(line.json for line in written))
        except OSError as error:  # a full disk ends no request; the loss is said as soon as there is room again
            why = error.strerror or str(error)
            self._drop(len(lines) + dropped, why)
            if not self._failing:
                _tell(f"localrouter: the application log cannot be written: {why}\n")
            self._failing = True
        else:
            self._failing = False

    def _drop(self, count: int, why: str) -> None:
        with self._counting:
            self._dropped += count
            self._why = why


def _tell(text: str) -> None:
    """Show a text to people, if there are any."""
    if text:
        with suppress(OSError, ValueError):  # a terminal that went away, or stderr closed at the end
            sys.stderr.write(text)
            sys.stderr.flush()
