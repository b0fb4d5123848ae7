"""The gateway's usage journal: append-only segments on disk that outlive the process, and are the outbox's queue.

An entry is a header (kind, length, CRC-32, request id) and a payload. ``opened`` is written before the first upstream
byte and holds what the request's record is made of if nothing else is ever written. ``closed`` holds the true record
and is written before the terminal frame. A write reaches the kernel at once, so a killed process
loses nothing; ``sync`` brings it to the disk in groups. Without room on the disk no request is opened, and what is
closed then waits in memory.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shared.kernel.errors import StartRefused
from shared.runtime.atomic_file import write_atomically

SEGMENT_BYTES: Final = 4 * 1024 * 1024
MAX_BYTES: Final = 1024 * 1024 * 1024
"""What the journal may hold while the log is away; past it no request is taken."""

RECENT_BYTES: Final = 8 * 1024 * 1024
"""What of it is kept in memory besides, while the log takes it as fast as it comes."""

Position = tuple[int, int]
"""A place in the journal: segment and offset."""

_ROOM: Final = 1024 * 1024
"""With so much free on the disk it is tried again."""

_OPENED: Final = 1
_CLOSED: Final = 2
_HEADER: Final = struct.Struct("!BII16s")
_ACKED: Final = struct.Struct("!QQ")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it was read back; ``end`` is the offset after it."""

    kind: int
    request: bytes
    payload: bytes
    end: int


@dataclass(slots=True)
class _Segment:
    number: int
    size: int = 0
    open: set[bytes] = field(default_factory=set[bytes])
    """Requests opened here that are not closed anywhere yet."""


class JournalInUse(StartRefused):
    """Another gateway that lives has this journal."""


class Journal:
    """The journal of one gateway, in a folder of its own that it locks."""

    def __init__(self, folder: Path, interrupted: Callable[[bytes], bytes]) -> None:
        """Open the folder, finish what a crash cut short and begin a new segment; raises StartRefused when locked.

        ``interrupted`` makes the record of a request out of what it was opened with.
        """
        self.folder = folder
        self._unwritten: deque[tuple[bytes, bytes]] = deque()
        self._unwritten_bytes = 0
        self.problem: str | None = None
        """Why it cannot be written; something small may find room all the same."""
        self.dropped = 0
        """Records of refused requests that were too many to wait; whoever tells of them sets it back."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(folder)
            try:
                self._begin(folder, interrupted)
            except OSError:
                os.close(self._lock)
                raise
        except OSError as error:
            raise StartRefused(f"the journal in {folder} cannot be written: {error.strerror}") from error

    def _begin(self, folder: Path, interrupted: Callable[[bytes], bytes]) -> None:
        self.life = _life(folder)
        """Names this journal apart from others that were, or will be, of the same gateway."""
        self._segments: dict[int, _Segment] = {}
        self._acked_fd = os.open(folder / "acked", os.O_RDWR | os.O_CREAT, 0o600)
        self._acked = self._read_acked()
        self._homes: dict[bytes, _Segment] = {}
        self.waiting_records = 0
        """How many closed records the log has not acknowledged."""
        cut_short = self._replay()
        self._size = sum(segment.size for segment in self._segments.values())
        last = max(self._segments, default=max(self._acked[0], 0))
        self._current = self._segments[last + 1] = _Segment(last + 1)
        self._fd = os.open(self._path(last + 1), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._dirty = False
        self._recent: deque[tuple[Position, bytes]] | None = deque()
        self._recent_bytes = 0
        self._recent_from = (last + 1, 0)
        self.interrupted = len(cut_short)
        """How many requests a crash had cut short."""
        for request, payload in cut_short.items():
            self._close(request, interrupted(payload))
        self._forget()

    @property
    def position(self) -> Position:
        """The end: segment and offset."""
        return self._current.number, self._current.size

    @property
    def full(self) -> bool:
        """Whether it holds as much as it may."""
        return self._size >= MAX_BYTES

    @property
    def acked(self) -> Position:
        """Up to where the log has acknowledged every record."""
        return self._acked

    def waiting_bytes(self) -> int:
        """Return how many bytes of journal the log has not acknowledged."""
        number, offset = self._acked
        later = sum(segment.size for segment in self._segments.values() if segment.number > number)
        return later + max(0, self._segments[number].size - offset if number in self._segments else 0)

    def opened(self, request_id: str, opened: bytes) -> None:
        """Note that a request is about to go upstream; a second call replaces what the first one said."""
        request = _bytes_of(request_id)
        self._settle()
        home = self._current
        self._write(_OPENED, request, opened)
        if request not in self._homes:
            self._homes[request] = home
            home.open.add(request)

    def closed(self, request_id: str, record: bytes) -> None:
        """Note the one true record of a request; one that finds no room is written when there is some."""
        request = _bytes_of(request_id)
        try:
            self._settle()
            self._close(request, record)
        except OSError:
            # what was opened is bounded, as nothing more is; refusals are not
            if request not in self._homes and self._unwritten_bytes > RECENT_BYTES:
                self.dropped += 1
                return
            self._unwritten.append((request, record))
            self._unwritten_bytes += len(record)

    def try_again(self) -> None:
        """Write what found no room, if there is some by now."""
        with contextlib.suppress(OSError):
            self._settle()
            if shutil.disk_usage(self.folder).free > _ROOM:
                self.problem = None

    def _settle(self) -> None:
        while self._unwritten:
            request, record = self._unwritten[0]
            self._close(request, record)
            self._unwritten.popleft()
            self._unwritten_bytes -= len(record)

    def records_after(self, position: Position, most: int, most_bytes: int) -> tuple[list[bytes], Position]:
        """Return the next closed records after ``position`` and the position after the last one of them.

        What was closed lately is still in memory; what is older, or too much for that, is read back.
        """
        if self._recent is not None and position >= self._recent_from:
            return self._remembered(position, most, most_bytes)
        records, after = self._read_back(position, most, most_bytes)
        if not records:
            self._recent, self._recent_bytes, self._recent_from = deque(), 0, after
        return records, after

    def _remembered(self, position: Position, most: int, most_bytes: int) -> tuple[list[bytes], Position]:
        assert self._recent is not None
        records: list[bytes] = []
        size = 0
        while self._recent and len(records) < most:
            end, record = self._recent[0]
            if end > position:
                if records and size + len(record) > most_bytes:
                    return records, position
                records.append(record)
                size += len(record)
                position = end
            self._recent.popleft()
            self._recent_bytes -= len(record)
        self._recent_from = position
        return records, position

    def _read_back(self, position: Position, most: int, most_bytes: int) -> tuple[list[bytes], Position]:
        records: list[bytes] = []
        size = 0
        number, offset = position
        while number <= self._current.number:
            if number in self._segments:
                for entry in self._entries(number, offset):
                    if entry.kind == _CLOSED:
                        if records and size + len(entry.payload) > most_bytes:
                            return records, (number, offset)
                        records.append(entry.payload)
                        size += len(entry.payload)
                    offset = entry.end
                    if len(records) == most:
                        return records, (number, offset)
            if number == self._current.number:
                break
            number, offset = number + 1, 0
        return records, (number, offset)

    def acknowledge(self, position: Position, records: int) -> None:
        """Note that the log holds the next ``records``, up to ``position``, and let go of what nobody needs."""
        self._acked = position
        self.waiting_records -= records
        with contextlib.suppress(OSError):  # what is shipped again is counted once
            os.pwrite(self._acked_fd, _ACKED.pack(*position), 0)
        self._forget()

    def sync(self) -> None:
        """Bring what was written to the disk (blocks: run it in a thread)."""
        if self._dirty:
            self._dirty = False  # first: what is written meanwhile is for the next time
            descriptor = self._fd
            try:
                os.fsync(descriptor)
            except OSError:
                if descriptor != self._fd:
                    # the next segment was begun meanwhile, and this one brought to the disk before that
                    return
                self._dirty = True
                raise

    def close(self) -> None:
        """Sync and let go of the folder."""
        self.try_again()
        self.sync()
        for descriptor in (self._fd, self._acked_fd, self._lock):
            os.close(descriptor)

    def _write(self, kind: int, request: bytes, payload: bytes) -> None:
        entry = _HEADER.pack(kind, len(payload), zlib.crc32(payload), request) + payload
        size = len(entry)
        try:
            if os.write(self._fd, entry) != size:
                # without its end it would hide whatever comes after it
                os.ftruncate(self._fd, self._current.size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self.problem = f"usage cannot be written to disk: {error.strerror}"
            raise
        self._dirty = True
        self._current.size += size
        self._size += size
        if self._current.size >= SEGMENT_BYTES:
            self._rotate()

    def _close(self, request: bytes, record: bytes) -> None:
        self._write(_CLOSED, request, record)
        home = self._homes.pop(request, None)
        if home is not None:
            home.open.discard(request)
        self.waiting_records += 1
        if self._recent is not None:
            self._recent.append((self.position, record))
            self._recent_bytes += len(record)
            if self._recent_bytes > RECENT_BYTES:
                self._recent = None

    def _rotate(self) -> None:
        number = self._current.number + 1
        try:
            os.fsync(self._fd)
            descriptor = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError:  # this one grows on until there is room
            return
        os.close(self._fd)
        self._fd = descriptor
        self._current = self._segments[number] = _Segment(number)

    def _forget(self) -> None:
        for number in sorted(self._segments):
            segment = self._segments[number]
            if number >= self._acked[0] or number == self._current.number or segment.open:
                return
            self._path(number).unlink(missing_ok=True)
            self._size -= self._segments.pop(number).size

    def _replay(self) -> dict[bytes, bytes]:
        opened: dict[bytes, bytes] = {}
        for path in sorted(self.folder.glob("*.journal")):
            number = int(path.stem)
            segment = self._segments[number] = _Segment(number)
            for entry in self._entries(number, 0):
                segment.size = entry.end
                if entry.kind == _OPENED:
                    opened[entry.request] = entry.payload
                else:
                    opened.pop(entry.request, None)
                    self.waiting_records += (number, entry.end) > self._acked
        return opened

    def _entries(self, number: int, offset: int) -> Iterator[Entry]:
        """Yield the whole entries of a segment from ``offset``; a torn or damaged end is where it stops."""
        try:
            with self._path(number).open("rb") as file:
                file.seek(offset)
                raw = file.read()
        except FileNotFoundError:
            return
        at = 0
        while at + _HEADER.size <= len(raw):
            kind, length, checksum, request = _HEADER.unpack_from(raw, at)
            at += _HEADER.size
            payload = raw[at : at + length]
            if len(payload) != length or zlib.crc32(payload) != checksum:
                return
            at += length
            yield Entry(kind, request, payload, offset + at)

    def _read_acked(self) -> Position:
        raw = os.pread(self._acked_fd, _ACKED.size, 0)
        if len(raw) != _ACKED.size:
            return (0, 0)
        number, offset = _ACKED.unpack(raw)
        return number, offset

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:012d}.journal"


def _bytes_of(request_id: str) -> bytes:
    """Return a UUID's 16 bytes; half the time that ``uuid.UUID`` takes."""
    return bytes.fromhex(request_id.replace("-", ""))


def _life(folder: Path) -> str:
    path = folder / "life"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    life = os.urandom(6).hex()
    write_atomically(path, life.encode())
    return life


def _lock(folder: Path) -> int:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise JournalInUse(f"another gateway uses the journal in {folder}; give this one its own gateway.id") from error
    return descriptor
