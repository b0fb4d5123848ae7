"""What a core dump of a running process would hold: its writable memory, read where Linux shows it."""

import os
import sys
from pathlib import Path

MISSING = "" if sys.platform == "linux" and Path("/proc/self/mem").exists() else "only Linux shows a process's memory"
_MOST = 64 * 1024 * 1024
"""Bytes that are read at once."""


def count_in_memory(pid: int, needles: dict[str, bytes]) -> dict[str, int]:
    """Return how often each of ``needles`` is in the writable memory of a process that runs.

    Raises PermissionError where one may not look into one's own children.
    """
    found = dict.fromkeys(needles, 0)
    longest = max(map(len, needles.values()))
    descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        for start, end in _writable(pid):
            carried = b""
            for at in range(start, end, _MOST):
                try:
                    held = carried + os.pread(descriptor, min(_MOST, end - at), at)
                except OSError:  # it was unmapped meanwhile
                    break
                for name, needle in needles.items():
                    found[name] += held.count(needle) - carried.count(needle)
                carried = held[-(longest - 1) :]
    finally:
        os.close(descriptor)
    return found


def _writable(pid: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        place, rights, *_ = line.split()
        if rights.startswith("rw") and "[vvar]" not in line:
            start, _, end = place.partition("-")
            found.append((int(start, 16), int(end, 16)))
    return found
