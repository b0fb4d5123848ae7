"""Counts the allocations that Python makes in a piece of work, by a small library in C that wraps its allocators."""

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SOURCE = Path(__file__).with_suffix(".c")
_DOMAINS = (1, 2)
"""Python's allocators of buffers and of objects."""


class _Allocator(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("ctx", "malloc", "calloc", "realloc", "free")]


def _library() -> ctypes.CDLL | None:
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "allocations.so"
        command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(built), str(_SOURCE)]
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            return None
        return ctypes.CDLL(str(built))


class Allocations:
    """A counter of allocations; where no compiler is, it counts nothing and says None."""

    def __init__(self) -> None:
        self._library = _library()
        if self._library is not None:
            self._library.counting.restype = _Allocator
            self._library.counting.argtypes = [ctypes.c_void_p]
            self._library.allocations.restype = ctypes.c_size_t

    def of(self, work: Callable[[], Any]) -> int | None:
        """Return how often a piece of work allocated, or made a block larger."""
        if self._library is None:
            return None
        python = ctypes.pythonapi
        plain = [_Allocator() for _ in _DOMAINS]
        for domain, allocator in zip(_DOMAINS, plain, strict=True):
            python.PyMem_GetAllocator(domain, ctypes.byref(allocator))
        counting = [self._library.counting(ctypes.addressof(allocator)) for allocator in plain]
        read = self._library.allocations
        try:
            for domain, allocator in zip(_DOMAINS, counting, strict=True):
                python.PyMem_SetAllocator(domain, ctypes.byref(allocator))
            before = read()
            work()
            return read() - before
        finally:
            for domain, allocator in zip(_DOMAINS, plain, strict=True):
                python.PyMem_SetAllocator(domain, ctypes.byref(allocator))
