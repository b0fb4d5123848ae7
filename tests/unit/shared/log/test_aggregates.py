"""A write whose answer never came: what is said of it is what the log holds."""

import pytest

from shared.contracts.config import NameTaken
from shared.kernel.errors import LogUnavailable, OutcomeUnknown, Refusal
from shared.log.aggregates import Aggregates, Decider, Loaded
from shared.log.memory import MemoryLog
from shared.log.port import Append
from shared.runtime.clock import SYSTEM_CLOCK, new_id

COUNTER = Decider(
    "router",
    lambda: 0,
    lambda _command, state: [NameTaken(kind="test", name=str(state), owner="me")],
    lambda state, _event: state + 1,
)


class SilentLog(MemoryLog):
    """Answers no append; ``writes``: whether it was written all the same; ``reads``: whether it can be read then."""

    def __init__(self, *, writes: bool, reads: bool = True) -> None:
        super().__init__()
        self._writes = writes
        self._reads = reads
        self._silent = False

    async def append(self, *writes: Append) -> list[int]:
        if self._writes:
            await super().append(*writes)
        self._silent = True
        raise OutcomeUnknown("no answer")

    def read(self, stream: str, subject: str = "", *, after: int = 0):
        if self._silent and not self._reads:
            raise LogUnavailable("gone")
        return super().read(stream, subject, after=after)


async def increment(log: MemoryLog) -> Loaded[int] | Refusal:
    aggregates = Aggregates(log, clock=SYSTEM_CLOCK, new_id=new_id, source="test")
    return await aggregates.handle(COUNTER, "one", None, actor="me")


async def test_what_was_written_is_done() -> None:
    done = await increment(SilentLog(writes=True))
    assert isinstance(done, Loaded)
    assert (done.state, done.version, done.sequence) == (1, 1, 1)


async def test_what_was_not_written_stays_unknown_to_the_caller() -> None:
    with pytest.raises(OutcomeUnknown):
        await increment(SilentLog(writes=False))


@pytest.mark.parametrize("writes", [True, False])
async def test_a_log_that_cannot_be_read_back_leaves_it_unknown_not_unwritten(writes: bool) -> None:
    with pytest.raises(OutcomeUnknown):
        await increment(SilentLog(writes=writes, reads=False))
