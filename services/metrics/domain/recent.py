"""The last day by minute, in memory: of everything, of each key, provider and model, and of a key at each of them."""

from collections.abc import Mapping
from typing import Final

import msgspec

from services.metrics.domain.questions import told_cost
from services.metrics.domain.rollups import MINUTE, Rolled, Tally, percentile
from shared.kernel.money import format_usd

SPAN_S: Final = 86_400
MOST: Final = 30_000
"""Minutes of single keys, providers and models that are kept; those of everything are kept besides."""
_AHEAD_S: Final = 3_600
"""Of whose clock is wrong by more than that, nothing is kept."""
_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_SUCCEEDED: Final = "succeeded"

Asked = tuple[str, str, str]
"""Key id, provider, model; the empty text for any. With a model its provider is left out."""
EVERYTHING: Final[Asked] = ("", "", "")


class Counts(msgspec.Struct, gc=False):
    """Tokens, as sums are told."""

    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int
    total: int


class Minute(msgspec.Struct, gc=False):
    """One minute as it is told."""

    time: int
    """When it began, Unix seconds."""
    requests: int
    succeeded: int
    attempts: int
    tokens: Counts
    cost_usd: str | None
    """None: nothing in it has a known price."""
    unpriced_requests: int
    duration_ms: dict[str, float | None]
    ttft_ms: dict[str, float | None]


_NOTHING: Final = Tally()


class _Slot:
    """One minute of one series, and how it was told last."""

    __slots__ = ("_own", "succeeded", "succeeded_model", "succeeded_provider", "tally", "told")

    def __init__(self) -> None:
        self.tally = _NOTHING
        self._own = False
        self.succeeded = self.succeeded_provider = self.succeeded_model = 0
        self.told: bytes | None = None

    def add(self, status: str, tally: Tally) -> None:
        if self.tally is _NOTHING:
            # most minutes of a key at a model see one batch only, so what that brought is shared until it is more
            self.tally = tally
        else:
            if not self._own:
                self.tally, self._own = self.tally.copy(), True
            self.tally.add(tally)
        if status == _SUCCEEDED:
            self.succeeded += tally.requests
            self.succeeded_provider += tally.tried_provider
            self.succeeded_model += tally.tried_model
        self.told = None


class Recent:
    """Takes what the ledger takes, tells minutes as JSON. A minute is written as JSON once after it changed."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._series: dict[Asked, dict[int, _Slot]] = {EVERYTHING: {}}
        self._slots = 0
        self._ids: dict[str, set[str]] = {}
        self._now = 0
        self._left_out = 0

    def take(self, rolled: Rolled, now: int) -> None:
        """Take what was added to the ledger; ``now`` is Unix seconds."""
        if now // MINUTE > self._now // MINUTE:
            self._now = now
            self._forget()
        for (start, (key, key_name, _, provider, model, status)), tally in rolled.items():
            if not now - SPAN_S < start < now + _AHEAD_S:
                continue
            if key_name and key not in (ids := self._ids.setdefault(key_name, set())):
                ids.add(key)
            of_model, of_key = ("", "", model), (key, "", "")
            series = (EVERYTHING, of_key, ("", provider, ""), of_model, (key, provider, ""), (key, "", model))
            if not (key and provider and model):
                # what is empty asks for any, and is not to be counted twice
                series = dict.fromkeys(series)
            for asked in series:
                self._add(asked, start, status, tally)

    def told(self, key: str, provider: str, model: str, since: int) -> tuple[list[bytes], bool]:
        """Return the minutes from ``since`` (Unix seconds) on that had any use, in order, each as JSON; and whether
        that is all of them, and not only those that memory had room for.

        ``key`` is a key's id or name.
        """
        ids = self._ids.get(key, set()) | {key}
        found: dict[int, _Slot] = {}
        for identity in ids:
            slots = self._series.get((identity, "" if model else provider, model), {})
            found = slots if not found else _merged(found, slots)
        whole = not self._left_out or (not key and not provider and not model)
        starts = sorted(start for start in found if start >= since)
        return [_told(start, found[start], provider=bool(provider), model=bool(model)) for start in starts], whole

    def _add(self, asked: Asked, start: int, status: str, tally: Tally) -> None:
        slots = self._series.get(asked)
        slot = None if slots is None else slots.get(start)
        if slot is None:
            if asked != EVERYTHING:
                if self._slots >= self._most:
                    self._left_out = start
                    return
                self._slots += 1
            slot = self._series.setdefault(asked, {})[start] = _Slot()
        slot.add(status, tally)

    def _forget(self) -> None:
        oldest = self._now - SPAN_S
        if self._left_out <= oldest:
            self._left_out = 0
        for asked, slots in list(self._series.items()):
            # minutes come nearly in order, so the first ones are the oldest
            for start in list(slots):
                if start > oldest:
                    break
                del slots[start]
                self._slots -= asked != EVERYTHING
            if not slots and asked != EVERYTHING:
                del self._series[asked]


def _merged(one: Mapping[int, _Slot], other: Mapping[int, _Slot]) -> dict[int, _Slot]:
    both: dict[int, _Slot] = {}
    for slots in (one, other):
        for start, slot in slots.items():
            sums = both.setdefault(start, _Slot())
            sums.add("", slot.tally)
            sums.succeeded += slot.succeeded
            sums.succeeded_provider += slot.succeeded_provider
            sums.succeeded_model += slot.succeeded_model
    return both


def _told(start: int, slot: _Slot, *, provider: bool, model: bool) -> bytes:
    if slot.told is None:
        tally = slot.tally
        duration, ttft = _percentiles(tally.duration), _percentiles(tally.ttft)
        if model or provider:
            minute = Minute(
                start,
                tally.tried_model if model else tally.tried_provider,
                slot.succeeded_model if model else slot.succeeded_provider,
                tally.tried,
                _counts(
                    tally.tried_input,
                    tally.tried_cached,
                    tally.tried_cache_write,
                    tally.tried_output,
                    tally.tried_reasoning,
                ),
                *_costs(
                    tally.tried_cost,
                    tally.unpriced_model if model else tally.unpriced_provider,
                    tally.tried_model if model else tally.tried_provider,
                ),
                duration,
                ttft,
            )
        else:
            minute = Minute(
                start,
                tally.requests,
                slot.succeeded,
                tally.attempts,
                _counts(tally.input, tally.cached, tally.cache_write, tally.output, tally.reasoning),
                *_costs(tally.cost, tally.unpriced, tally.requests),
                duration,
                ttft,
            )
        slot.told = msgspec.json.encode(minute)
    return slot.told


def _counts(plain: int, cached: int, cache_write: int, output: int, reasoning: int) -> Counts:
    return Counts(plain, cached, cache_write, output, reasoning, plain + cached + cache_write + output)


def _costs(cost: int, unpriced: int, requests: int) -> tuple[str | None, int]:
    known = told_cost(cost, unpriced=unpriced, count=requests)
    return None if known is None else format_usd(known), unpriced


def _percentiles(counts: Mapping[int, int]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, share in _SHARES.items():
        value = percentile(counts, share)
        found[name] = None if value is None else round(value, 1)
    return found
