"""The price book: versioned events of what models cost, and the state that they add up to."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from shared.contracts.catalog import Prices
from shared.contracts.config import ProviderSpec
from shared.contracts.envelope import EventData, event

GENAI: Final = "genai-prices"
"""Public price lists; a model is named ``<vendor>/<native id>``."""
OVERRIDES: Final = "overrides"
"""The operator's own prices; a model is named ``<provider slug>/<native id>``."""
LOCAL: Final = "local"
"""What runs on own machines: no source of the book, it costs nothing."""
NOTHING: Final = Prices(input=0, output=0)


@event("prices.changed")
class PricesChanged(EventData, frozen=True, kw_only=True):
    """A source of the price book is at another version; what it does not name costs what it cost before."""

    source: str
    """``genai-prices``, ``overrides``, or ``<vendor>/<provider id>``: what the vendor's own list says, by native id."""
    version: int
    """One more than the source's last; the parts of a big one share it."""
    effective_at: datetime
    origin: str = ""
    """Where it was read from."""
    changed: dict[str, Prices] = {}
    removed: tuple[str, ...] = ()
    """Models whose price is unknown to the source from now on."""
    more: bool = False
    """Further parts of this version follow."""


class Priced(msgspec.Struct, frozen=True):
    """A model's prices and where they are from."""

    prices: Prices
    source: str
    version: str
    """``<source>@<number>``: the version at which they became these."""


class Sheet(msgspec.Struct):
    """One source of the book as it is now."""

    version: int = 0
    effective_at: datetime | None = None
    origin: str = ""
    models: dict[str, Priced] = {}


class PriceBook:
    """Every source, folded from events in their order."""

    def __init__(self, sheets: Mapping[str, Sheet] | None = None) -> None:
        self.sheets: dict[str, Sheet] = dict(sheets or {})

    def apply(self, data: PricesChanged) -> None:
        """Take one event."""
        sheet = self.sheets.setdefault(data.source, Sheet())
        sheet.version, sheet.effective_at, sheet.origin = data.version, data.effective_at, data.origin
        version = version_name(data.source, data.version)
        for model in data.removed:
            sheet.models.pop(model, None)
        for model, prices in data.changed.items():
            sheet.models[model] = Priced(prices, data.source, version)

    def find(self, spec: ProviderSpec, provider_id: str, native_id: str) -> Priced | None:
        """Return what a provider's model costs; None: nobody knows, which is never zero.

        The operator's word counts before the machine's own, the vendor's list before public ones.
        """
        if own := self._at(OVERRIDES, f"{spec.slug}/{native_id}"):
            return own
        if spec.local:
            return Priced(NOTHING, LOCAL, LOCAL)
        listed = self._at(listed_source(spec.vendor, provider_id), native_id)
        return listed or self._at(GENAI, f"{spec.vendor}/{native_id}")

    def _at(self, source: str, model: str) -> Priced | None:
        sheet = self.sheets.get(source)
        return None if sheet is None else sheet.models.get(model)


def listed_source(vendor: str, provider_id: str) -> str:
    """Return the source of the prices that a vendor lists itself."""
    return f"{vendor}/{provider_id}"


def version_name(source: str, version: int) -> str:
    """Return how a version is named in records and questions."""
    return f"{source}@{version}"
