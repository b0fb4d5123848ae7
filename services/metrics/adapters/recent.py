"""The last day by minute between two threads: the ledger's writes it, the event loop tells it."""

import threading

from services.metrics.domain.recent import SPAN_S, Recent
from services.metrics.domain.rollups import Rolled
from shared.kernel.clock import Clock


class RecentUsage:
    """Takes what the ledger takes; answers at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recent = Recent()
        self._lock = threading.Lock()

    def take(self, rolled: Rolled) -> None:
        """Take what was added to the ledger."""
        with self._lock:
            self._recent.take(rolled, self._now())

    def since(self) -> int:
        """Return where the last day begins, Unix seconds."""
        return self._now() // 60 * 60 - SPAN_S + 60

    def told(self, key: str, provider: str, model: str) -> bytes:
        """Return the answer to a question as JSON; the empty text asks for any."""
        with self._lock:
            minutes, whole = self._recent.told(key, provider, model, self.since())
        head = b'{"interval_s":60,"whole":' + (b"true" if whole else b"false") + b',"items":['
        return head + b",".join(minutes) + b"]}"

    def _now(self) -> int:
        return int(self._clock.now().timestamp())
