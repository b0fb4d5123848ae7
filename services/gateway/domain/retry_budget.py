"""How many of a provider's requests may be second tries: a fifth, so that retries never make an outage worse.

Of the budgets that https://sre.google/sre-book/handling-overload/ describes the one per client, with a floor below
which nobody is refused. A request that goes on to another provider is no retry: it is that provider's first try.
"""

from collections import deque
from typing import Final

WINDOW_S: Final = 60.0
_SLOTS: Final = 6
FLOOR: Final = 10
"""Retries in a window that are allowed however few the requests are."""


class RetryBudgets:
    """Counts requests and retries by provider over a sliding window."""

    def __init__(self, window_s: float = WINDOW_S, floor: int = FLOOR) -> None:
        self._slot_s = window_s / _SLOTS
        self._floor = floor
        self._providers: dict[str, deque[_Slot]] = {}

    def asked(self, provider_id: str, now: float) -> None:
        """Note a first try at monotonic time ``now``."""
        self._slots(provider_id, now)[-1].asked += 1

    def retried(self, provider_id: str, now: float) -> None:
        """Note a retry."""
        self._slots(provider_id, now)[-1].retried += 1

    def allows(self, provider_id: str, share: float, now: float) -> bool:
        """Whether one more retry is within ``share`` of the provider's requests."""
        slots = self._slots(provider_id, now)
        return sum(slot.retried for slot in slots) < max(self._floor, share * sum(slot.asked for slot in slots))

    def _slots(self, provider_id: str, now: float) -> "deque[_Slot]":
        """Return the slots of the window, the last of them the present one."""
        slots = self._providers.setdefault(provider_id, deque())
        number = int(now / self._slot_s)
        while slots and slots[0].number <= number - _SLOTS:
            slots.popleft()
        if not slots or slots[-1].number != number:
            slots.append(_Slot(number))
        return slots


class _Slot:
    __slots__ = ("asked", "number", "retried")

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked = 0
        self.retried = 0
