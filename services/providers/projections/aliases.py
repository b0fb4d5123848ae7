"""Which names of the operator's lead to which models."""

import msgspec

from shared.contracts.config import AliasRemoved, AliasSet
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_CONFIG, Recorded

_DECODER = msgspec.json.Decoder(dict[str, AliasSet])


class AliasesFold:
    """Folds the events of every alias."""

    name = "aliases"
    stream = LR_CONFIG
    subject = "lr.config.alias.>"

    def __init__(self) -> None:
        self._aliases: dict[str, AliasSet] = {}

    def apply(self, recorded: Recorded) -> None:
        """Take one event; one that does not read ends its alias."""
        if recorded.event is None:
            self._aliases.pop(recorded.subject.removeprefix("lr.config.alias."), None)
            return
        match recorded.event.data:
            case AliasSet() as data:
                self._aliases[data.alias_id] = data
            case AliasRemoved(alias_id=alias_id):
                self._aliases.pop(alias_id, None)
            case _:
                pass

    def all(self) -> list[AliasSet]:
        """Return every alias, by name."""
        return sorted(self._aliases.values(), key=lambda alias: alias.name)

    def find(self, name: str) -> AliasSet | None:
        """Return the alias of that name."""
        return next((alias for alias in self._aliases.values() if alias.name == name), None)

    def of(self, model: str) -> tuple[str, ...]:
        """Return the names that lead to a model, in order."""
        return tuple(sorted(alias.name for alias in self._aliases.values() if alias.model == model))

    def dump(self) -> bytes:
        """Return the whole state."""
        return msgspec.json.encode(self._aliases)

    def load(self, raw: bytes) -> None:
        """Replace the state; raises ContractBroken."""
        try:
            self._aliases = _DECODER.decode(raw)
        except msgspec.DecodeError as error:
            raise ContractBroken(f"not a snapshot of aliases: {error}") from error
