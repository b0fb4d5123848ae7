"""Server-sent events as they arrive: any split, any line end, bounded.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

import re
from typing import Final, NamedTuple

MAX_EVENT: Final = 1024 * 1024
"""Bytes of one event."""
_BOM: Final = b"\xef\xbb\xbf"
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_BLANK_LINE: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")


class EventTooLarge(Exception):
    """One event is longer than ``MAX_EVENT``."""


class ServerEvent(NamedTuple):
    """One dispatched event."""

    event: str
    data: bytes


class Framer:
    """Cuts a stream of bytes after its last whole event, so that what goes on is always whole events, byte-exact.

    A byte order mark at the start is dropped.
    """

    __slots__ = ("_began", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._began = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return all whole events that are there now (often none). Raises EventTooLarge."""
        rest = self._rest
        if not self._began:
            data = self._begin(data)
        if not rest and data.endswith(b"\n\n") and b"\r" not in data:
            return self._checked(data)
        start = max(0, len(rest) - 3)
        rest += data
        cut = _last_boundary(rest, start)
        if len(rest) - cut > MAX_EVENT:
            raise EventTooLarge
        if not cut:
            return b""
        whole = bytes(rest[:cut])
        del rest[:cut]
        return self._checked(whole)

    def rest(self) -> bytes:
        """Return and forget what is left at the end of a stream that ended without a blank line."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest

    def _begin(self, data: bytes) -> bytes:
        data = bytes(self._rest) + data
        self._rest.clear()
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._rest += data
            return b""
        self._began = True
        return data.removeprefix(_BOM)

    def _checked(self, whole: bytes) -> bytes:
        if len(whole) > MAX_EVENT and any(len(event) > MAX_EVENT for event in split_events(whole)):
            raise EventTooLarge
        return whole


def _last_boundary(buffer: bytearray, start: int) -> int:
    if b"\r" not in buffer:
        return buffer.rfind(b"\n\n", start) + 2 if b"\n\n" in buffer else 0
    cut = 0
    for found in _BLANK_LINE.finditer(buffer):
        cut = found.end()
    return cut


def split_events(whole: bytes) -> list[bytes]:
    """Split whole events, as a ``Framer`` gives them, into single ones, each with the blank line that ends it."""
    if b"\r" not in whole:
        return [event + b"\n\n" for event in whole.split(b"\n\n")[:-1]]
    events: list[bytes] = []
    start = 0
    for found in _BLANK_LINE.finditer(whole):
        events.append(whole[start : found.end()])
        start = found.end()
    return events


def parse_event(raw: bytes) -> ServerEvent | None:
    """Read one event; None for one that carries no data (comments, pings, empty lines)."""
    event = ""
    data: list[bytes] | None = None
    for line in _LINE_END.split(raw):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data = [*data, value] if data else [value]
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return None if data is None else ServerEvent(event, b"\n".join(data))


def event_data(raw: bytes) -> bytes | None:
    """Return the data of one event; None where it carries none."""
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        return raw[6:-2]
    found = parse_event(raw)
    return None if found is None else found.data


def encode_event(payload: bytes) -> bytes:
    """Return ``payload``, which holds no line end, as an event."""
    return b"data: " + payload + b"\n\n"


DONE: Final = b"data: [DONE]\n\n"
"""What ends a stream of OpenAI's."""
