"""Lines of JSON as they arrive: any split, LF or CRLF, empty lines left out, bounded."""

from typing import Final

MAX_LINE: Final = 1024 * 1024
"""Bytes of one line."""
_BOM: Final = b"\xef\xbb\xbf"


class LineTooLarge(Exception):
    """One line is longer than ``MAX_LINE``."""


class Lines:
    """Bytes in, whole lines out."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the lines that are whole now. Raises LineTooLarge."""
        whole = self.cut(data)
        return [line for found in whole.split(b"\n") if (line := _bare(found))] if whole else []

    def cut(self, data: bytes) -> bytes:
        """Take bytes; return what is whole now, byte-exact: often no line, sometimes many. Raises LineTooLarge."""
        rest = self._rest
        start = len(rest)
        rest += data
        end = rest.rfind(b"\n", start) + 1
        if len(rest) - end > MAX_LINE:
            raise LineTooLarge
        whole = bytes(rest[:end])
        del rest[:end]
        if end > MAX_LINE and any(len(line) > MAX_LINE for line in whole.split(b"\n")):
            raise LineTooLarge
        return whole

    def end(self) -> list[bytes]:
        """Return what is left of a stream that ended without a line end."""
        line = _bare(bytes(self._rest))
        self._rest.clear()
        return [line] if line else []


def _bare(line: bytes) -> bytes:
    return line.strip().removeprefix(_BOM)
