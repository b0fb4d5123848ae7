"""What some messages say, with everything that can be worked out of them before the ledger is looked at."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from services.metrics.domain.counters import Observed
from services.metrics.domain.rollups import RESOLUTIONS, Rolled, coarser, roll
from services.metrics.domain.rows import Entry


@dataclass(frozen=True, slots=True)
class Added:
    """Entries, and what they add to the rollups and the counters."""

    entries: list[Entry]
    spans: Mapping[int, Rolled]
    """By resolution in seconds."""
    observed: Observed

    @property
    def minutes(self) -> Rolled:
        """The shortest of ``spans``."""
        return self.spans[RESOLUTIONS[0]]

    @property
    def days(self) -> Rolled:
        """The longest of ``spans``: the fewest tallies of the same sum."""
        return self.spans[RESOLUTIONS[-1]]


class Adding:
    """Adds entries up, some at a time: what has just been made is at hand, and a thousand entries later it is not."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._minutes: Rolled = {}
        self._observed = Observed()

    def take(self, entries: Sequence[Entry]) -> None:
        """Add ``entries``, none of which may come twice."""
        self._entries += entries
        roll(entries, self._minutes)
        self._observed.take(entries)

    def added(self) -> Added:
        """Return what all of them add."""
        spans = {RESOLUTIONS[0]: self._minutes}
        for shorter, resolution in pairwise(RESOLUTIONS):
            spans[resolution] = coarser(spans[shorter], resolution)
        return Added(self._entries, spans, self._observed)


def add_up(entries: Iterable[Entry]) -> Added:
    """Return what ``entries`` add."""
    adding = Adding()
    adding.take(list(entries))
    return adding.added()


NOTHING: Final = add_up([])


@dataclass(slots=True)
class Batch:
    """What some messages, in order, say: entries once each, and which messages hold something unreadable."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict[tuple[str, str], Entry])
    broken: dict[int, str] = field(default_factory=dict[int, str])
    """Why, by stream sequence; what was readable of such a message is in ``entries`` all the same."""
    origins: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """The stream sequence that brought each entry."""
    sequence: int = 0
    """The last message of the batch."""
    added: Added = NOTHING
    """By all of ``entries``."""
