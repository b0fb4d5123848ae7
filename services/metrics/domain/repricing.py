"""What recorded requests come to at another version of the price book; the records stay as they are."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from shared.contracts.config import ProviderAdded, ProviderChanged, ProviderSpec
from shared.contracts.envelope import EventData
from shared.contracts.price_book import PriceBook, Priced, PricesChanged, version_name
from shared.contracts.pricing import price
from shared.contracts.usage import Attempt, UsageRecord
from shared.kernel.clock import parse_rfc3339


class BookAt:
    """The price book as it was at a version or a time, folded from the configuration's events in their order."""

    def __init__(self, as_of: str | datetime | None) -> None:
        """``as_of``: a version (``overrides@3``), a time, or None: as it is now."""
        self._as_of = as_of
        self.book = PriceBook()
        self.specs: dict[str, ProviderSpec] = {}
        self.found = not isinstance(as_of, str)
        """Whether the version is one that there was."""

    def take(self, data: EventData) -> None:
        """Take one event. Of a provider what was last said counts, whenever that was: what it is does not change."""
        match data:
            case ProviderAdded() | ProviderChanged():
                self.specs[data.provider_id] = data.spec
            case PricesChanged() if self._wanted(data):
                self.book.apply(data)
                if version_name(data.source, data.version) == self._as_of and not data.more:
                    self.found = True
            case _:
                pass

    def _wanted(self, data: PricesChanged) -> bool:
        match self._as_of:
            case None:
                return True
            case str():
                return not self.found
            case moment:
                return data.effective_at <= moment

    def find(self, attempt: Attempt) -> Priced | None:
        """Return what the model of an attempt costs; None: nobody knew."""
        spec = self.specs.get(attempt.provider_id)
        if spec is None:
            return None
        # overrides go by the name that the provider had
        spec = msgspec.structs.replace(spec, slug=attempt.provider)
        return self.book.find(spec, attempt.provider_id, attempt.model.removeprefix(f"{attempt.provider}/"))


@dataclass(slots=True)
class Bill:
    """Sums of one side."""

    cost: int = 0
    """Pico-USD of what has a price."""
    unpriced: int = 0
    """Requests that hold something of unknown price; per model attempts."""

    def add(self, cost: int | None) -> None:
        """Add one cost."""
        if cost is None:
            self.unpriced += 1
        else:
            self.cost += cost


@dataclass(slots=True)
class Both:
    """What was recorded, and what the same comes to at other prices."""

    requests: int = 0
    recorded: Bill = field(default_factory=Bill)
    repriced: Bill = field(default_factory=Bill)


@dataclass(slots=True)
class Repricing:
    """Adds up records at the prices of a book."""

    book: BookAt
    totals: Both = field(default_factory=Both)
    models: dict[tuple[str, str], Both] = field(default_factory=dict[tuple[str, str], Both])
    """By provider and model, over the attempts made there."""

    def add(self, records: Iterable[UsageRecord]) -> None:
        """Add records."""
        for record in records:
            at = parse_rfc3339(record.time)
            again = [self.cost_of(attempt, at) for attempt in record.attempts]
            self.totals.requests += 1
            _add(self.totals.recorded, [attempt.cost for attempt in record.attempts])
            _add(self.totals.repriced, again)
            for attempt, cost in zip(record.attempts, again, strict=True):
                both = self.models.setdefault((attempt.provider, attempt.model), Both())
                both.requests += 1
                both.recorded.add(attempt.cost)
                both.repriced.add(cost)

    def cost_of(self, attempt: Attempt, at: datetime) -> int | None:
        """Return what an attempt costs at the book's prices in pico-USD; None: unknown."""
        if attempt.tokens.source == "none":
            return 0
        spec = self.book.specs.get(attempt.provider_id)
        if spec is not None and spec.subscription:
            return 0
        found = self.book.find(attempt)
        return None if found is None else price(attempt.tokens, found.prices, at)


def _add(bill: Bill, costs: list[int | None]) -> None:
    """Add a request's costs: it is one unpriced request however many of its attempts are of unknown price."""
    bill.cost += sum(cost for cost in costs if cost is not None)
    bill.unpriced += None in costs
