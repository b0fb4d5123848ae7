"""Where each plan stands in ``LR_FACTS``, by its content hash: a record names the plan that it was decided by."""

import msgspec

from shared.contracts.catalog import PlanCompiled
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_FACTS, Recorded

_DECODER = msgspec.msgpack.Decoder(dict[str, int])


class PlanIndex:
    """Sequences by hash; where a plan was compiled twice, the first."""

    name = "plans"
    stream = LR_FACTS
    subject = "lr.facts.plan.>"

    def __init__(self) -> None:
        self._sequences: dict[str, int] = {}

    def find(self, plan_hash: str) -> int | None:
        """Return where the plan stands; None: it is not in the log."""
        return self._sequences.get(plan_hash)

    def apply(self, recorded: Recorded) -> None:
        """Take one fact; one that does not read tells of no plan."""
        if recorded.event is not None and isinstance(data := recorded.event.data, PlanCompiled):
            self._sequences.setdefault(data.plan_hash, recorded.sequence)

    def dump(self) -> bytes:
        """Return the whole index."""
        return msgspec.msgpack.encode(self._sequences)

    def load(self, raw: bytes) -> None:
        """Replace the index by a dumped one."""
        try:
            self._sequences = _DECODER.decode(raw)
        except msgspec.DecodeError as error:
            raise ContractBroken(f"not an index of plans: {error}") from error
