"""The price book as it is now."""

import msgspec

from shared.contracts.config import ProviderSpec
from shared.contracts.price_book import PriceBook, Priced, PricesChanged, Sheet
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_CONFIG, Recorded

_SUBJECT = "lr.config.prices."


class _State(msgspec.Struct):
    sheets: dict[str, Sheet] = {}
    frozen: dict[str, str] = {}


_DECODER = msgspec.json.Decoder(_State)


class PricesFold:
    """Folds the events of every source of prices."""

    name = "prices"
    stream = LR_CONFIG
    subject = f"{_SUBJECT}>"

    def __init__(self) -> None:
        self._book = PriceBook()
        self._frozen: dict[str, str] = {}

    def apply(self, recorded: Recorded) -> None:
        """Take one event; one that does not read freezes its source, which then knows no price."""
        source = recorded.subject.removeprefix(_SUBJECT)
        if recorded.event is None:
            self._frozen[source] = str(recorded.broken)
            self._book.sheets.pop(source, None)
        elif isinstance(data := recorded.event.data, PricesChanged) and source not in self._frozen:
            self._book.apply(data)

    def find(self, spec: ProviderSpec, provider_id: str, native_id: str) -> Priced | None:
        """Return what a provider's model costs, or None."""
        return self._book.find(spec, provider_id, native_id)

    def sheets(self) -> dict[str, Sheet]:
        """Return every source by name."""
        return self._book.sheets

    def frozen(self) -> list[str]:
        """Return which sources cannot be folded, and why."""
        return [f"prices {source} are frozen: {why}" for source, why in self._frozen.items()]

    def dump(self) -> bytes:
        """Return the whole state."""
        return msgspec.json.encode(_State(self._book.sheets, self._frozen))

    def load(self, raw: bytes) -> None:
        """Replace the state; raises ContractBroken."""
        try:
            state = _DECODER.decode(raw)
        except msgspec.DecodeError as error:
            raise ContractBroken(f"not a snapshot of prices: {error}") from error
        self._book, self._frozen = PriceBook(state.sheets), state.frozen
