"""Which rollups cover a range of time: days in its middle, hours and minutes at its ends."""

from dataclasses import dataclass
from typing import Final

_MINUTE_MS: Final = 60_000
_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Span:
    """Rollups of one resolution (seconds) that begin at ``start`` or later and before ``end``; None: no bound."""

    resolution: int
    start: int | None
    end: int | None


def spans(start_ms: int | None, end_ms: int | None, *, by_hour: bool) -> list[Span] | None:
    """Return the spans that hold a range exactly, each moment once; None: it does not begin or end with a minute.

    ``by_hour``: the question tells hours apart, so nothing longer will do.
    """
    if (start_ms or 0) % _MINUTE_MS or (end_ms or 0) % _MINUTE_MS:
        return None
    start = None if start_ms is None else start_ms // 1000
    end = None if end_ms is None else end_ms // 1000
    longest = _HOUR if by_hour else _DAY
    found: list[Span] = []
    head, tail = start, end
    for resolution, longer in ((_MINUTE, _HOUR), (_HOUR, _DAY)):
        if resolution == longest:
            break
        if head is not None and (up := -(-head // longer) * longer) != head:
            stop = up if tail is None else min(up, tail)
            if head < stop:
                found.append(Span(resolution, head, stop))
            head = stop
        if tail is not None and (down := tail // longer * longer) != tail and (head is None or head < tail):
            begin = down if head is None else max(down, head)
            found.append(Span(resolution, begin, tail))
            tail = begin
    if head is None or tail is None or head < tail:
        found.append(Span(longest, head, tail))
    return found
