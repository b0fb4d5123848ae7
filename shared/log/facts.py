"""Facts: what a service saw or made, told to everybody in an envelope and never decided upon."""

from shared.contracts.envelope import EventData, encode_event, wrap
from shared.kernel.clock import Clock
from shared.kernel.ids import NewId
from shared.log.port import EventLog


class Facts:
    """Publishes the facts of one service."""

    def __init__(self, log: EventLog, *, clock: Clock, new_id: NewId, source: str) -> None:
        self._log = log
        self._clock = clock
        self._new_id = new_id
        self._source = source

    async def publish(self, subject: str, data: EventData, *, about: str) -> None:
        """Publish ``data`` on a subject of the log; ``about`` is what it tells of, such as ``plan/<router id>``.

        Raises OutcomeUnknown, LogUnavailable.
        """
        fact = wrap(data, event_id=self._new_id(), time=self._clock.now(), source=self._source, subject=about)
        await self._log.publish(subject, encode_event(fact), message_id=fact.id)
