"""Folds the measurements of ``LR_FACTS`` into the world: how quick models are, and what routers are asked for."""

import msgspec

from services.router.domain.world import World
from shared.contracts.speed import Mix, Speed, SpeedMeasured
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_FACTS, SPEED_SUBJECT, Recorded
from shared.routing.compile import begins_s


class _State(msgspec.Struct, frozen=True):
    speeds: dict[str, Speed]
    mixes: dict[str, Mix]
    sequence: int


_DECODER = msgspec.json.Decoder(_State)


class MeasuredFold:
    """Keeps the newest measurement; one that does not read leaves the last in place."""

    name = "measured"
    stream = LR_FACTS
    subject = SPEED_SUBJECT

    def __init__(self, world: World) -> None:
        self._world = world
        self.quicker: set[str] = set()
        """The models of which the last message told another speed."""
        self.begins: set[str] = set()
        """Those of them whose first token takes another number of seconds, which stands in every plan."""
        self.mixed: set[str] = set()
        """The routers, by slug, of whose traffic it told another mix."""

    def apply(self, recorded: Recorded) -> None:
        """Take one message."""
        if recorded.event is None or not isinstance(data := recorded.event.data, SpeedMeasured):
            return
        world = self._world
        before, after = world.speeds, data.models
        self.quicker = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        self.begins = {name for name in self.quicker if begins_s(before.get(name)) != begins_s(after.get(name))}
        self.mixed = {slug for slug in data.routers if data.routers[slug] != world.mixes.get(slug)}
        self._take(data.models, data.routers, recorded.sequence)

    def dump(self) -> bytes:
        """Return what is known."""
        world = self._world
        return msgspec.json.encode(_State(world.speeds, world.mixes, world.speed_sequence))

    def load(self, raw: bytes) -> None:
        """Replace what is known."""
        try:
            state = _DECODER.decode(raw)
        except msgspec.DecodeError as error:
            raise ContractBroken(f"not a snapshot of measurements: {error}") from error
        self._take(state.speeds, state.mixes, state.sequence)

    def _take(self, speeds: dict[str, Speed], mixes: dict[str, Mix], sequence: int) -> None:
        self._world.speeds, self._world.mixes, self._world.speed_sequence = speeds, mixes, sequence
