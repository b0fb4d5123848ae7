"""What the log last told of every provider and credential: where a start goes on, and what other processes see."""

from datetime import datetime
from typing import Final

import msgspec

from shared.contracts.catalog import CredentialHealthChanged, HealthChanged
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_HEALTH, Recorded


class Told(msgspec.Struct, frozen=True):
    """A provider's newest transition, and when it was."""

    data: HealthChanged
    at: datetime

    @property
    def order(self) -> tuple[int, int]:
        """Its place among the transitions of its provider."""
        return self.data.fence, self.data.epoch


class _State(msgspec.Struct):
    providers: dict[str, Told] = {}
    credentials: dict[str, dict[str, CredentialHealthChanged]] = {}
    """By provider and credential; only those that are not in use."""
    latest: tuple[int, int] = (0, 0)
    """The highest fence, and the highest epoch."""


_ENCODE: Final = msgspec.json.Encoder().encode
_DECODER: Final = msgspec.json.Decoder(_State)


class HealthFold:
    """Folds ``LR_HEALTH`` into the newest transition of each provider and credential."""

    name = "provider-health"
    stream = LR_HEALTH
    subject = ""

    def __init__(self) -> None:
        self._state = _State()

    def apply(self, recorded: Recorded) -> None:
        """Take one transition; one of an older fence or epoch, or one that does not read, changes nothing."""
        if recorded.event is None:
            return
        data = recorded.event.data
        if isinstance(data, HealthChanged):
            told, known = Told(data, recorded.event.time), self._state.providers.get(data.provider_id)
            if known is None or told.order >= known.order:
                self._state.providers[data.provider_id] = told
            self._seen(*told.order)
        elif isinstance(data, CredentialHealthChanged):
            of_provider = self._state.credentials.setdefault(data.provider_id, {})
            of_provider.pop(data.credential_id, None)
            if data.state != "in_use":
                of_provider[data.credential_id] = data
            self._seen(0, data.epoch)

    def _seen(self, fence: int, epoch: int) -> None:
        latest = self._state.latest
        self._state.latest = max(fence, latest[0]), max(epoch, latest[1])

    def get(self, provider_id: str) -> Told | None:
        """Return the newest transition of a provider."""
        return self._state.providers.get(provider_id)

    def credentials(self, provider_id: str) -> list[CredentialHealthChanged]:
        """Return what is told of a provider's credentials that are not in use."""
        return list(self._state.credentials.get(provider_id, {}).values())

    @property
    def latest(self) -> tuple[int, int]:
        """The highest fence and the highest epoch that anybody used."""
        return self._state.latest

    def dump(self) -> bytes:
        """Return the whole state."""
        return _ENCODE(self._state)

    def load(self, raw: bytes) -> None:
        """Replace the state; raises ContractBroken."""
        try:
            self._state = _DECODER.decode(raw)
        except msgspec.DecodeError as error:
            raise ContractBroken(f"not a snapshot of health: {error}") from error
