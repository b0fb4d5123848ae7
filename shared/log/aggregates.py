"""Aggregates as deciders: read the events, decide, append at the version read, read again when somebody was first."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from shared.contracts.config import NameFreed, NameTaken
from shared.contracts.envelope import Event, EventData, chain_hash, encode_event, wrap
from shared.kernel.clock import Clock
from shared.kernel.errors import Conflict, LogDamaged, LogUnavailable, OutcomeUnknown, Refusal
from shared.kernel.ids import NewId
from shared.log.port import LR_CONFIG, Append, EventLog

S = TypeVar("S")
C = TypeVar("C")

Decision = Sequence[EventData] | Refusal
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Decider(Generic[S, C]):
    """The triple that an aggregate is: ``initial``, ``decide`` and ``evolve``, all pure."""

    kind: str
    initial: Callable[[], S]
    decide: Callable[[C, S], Decision]
    evolve: Callable[[S, Any], S]
    name_of: Callable[[S], str | None] = lambda _state: None
    """The unique name that this state holds, if aggregates of this kind have one."""


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """An aggregate's state, its version (the number of its events) and where it stands in the stream."""

    state: S
    version: int = 0
    sequence: int = 0
    """The stream sequence of its last event; 0: none."""
    last_hash: str | None = None


def subject_of(kind: str, identity: str) -> str:
    """Return the subject that holds an aggregate's events."""
    return f"lr.config.{kind}.{identity}"


def name_subject(kind: str, name: str) -> str:
    """Return the subject that holds who owns a name."""
    return f"lr.config.name.{kind}.{hashlib.sha256(name.encode()).hexdigest()[:32]}"


class Aggregates:
    """Loads and changes the aggregates of one service."""

    def __init__(self, log: EventLog, *, clock: Clock, new_id: NewId, source: str) -> None:
        self._log = log
        self._clock = clock
        self._new_id = new_id
        self._source = source

    async def load(self, decider: Decider[S, C], identity: str) -> Loaded[S]:
        """Fold the aggregate; raises LogDamaged when one of its events does not read."""
        loaded = Loaded(decider.initial())
        async for recorded in self._log.read(LR_CONFIG, subject_of(decider.kind, identity)):
            if recorded.event is None:
                raise LogDamaged(f"{recorded.subject} at {recorded.sequence}: {recorded.broken}")
            loaded = Loaded(
                decider.evolve(loaded.state, recorded.event.data),
                loaded.version + 1,
                recorded.sequence,
                chain_hash(recorded.raw),
            )
        return loaded

    async def handle(
        self,
        decider: Decider[S, C],
        identity: str,
        command: C,
        *,
        actor: str,
        expected_version: int | None = None,
    ) -> Loaded[S] | Refusal:
        """Decide ``command`` and write the events; returns the new state, or why it was refused.

        With ``expected_version`` (an If-Match) another version is refused as ``version_conflict``; without it a lost
        race is read and decided again. A time-out is resolved by reading back. Raises LogUnavailable, LogDamaged, and
        OutcomeUnknown when even reading back does not tell.
        """
        for _ in range(_TRIES):
            loaded = await self.load(decider, identity)
            if expected_version is not None and loaded.version != expected_version:
                return Refusal(
                    "version_conflict",
                    f"{decider.kind} {identity} is at version {loaded.version}, not {expected_version}",
                    412,
                )
            decision = decider.decide(command, loaded.state)
            if isinstance(decision, Refusal):
                return decision
            if not decision:
                return loaded
            after, writes = await self._writes(decider, identity, loaded, decision, actor)
            if isinstance(writes, Refusal):
                return writes
            try:
                sequences = await self._log.append(*writes)
            except Conflict:
                continue
            except OutcomeUnknown as unknown:
                return await self._after_unknown(decider, identity, writes[0], unknown)
            return Loaded(after.state, after.version, sequences[0], after.last_hash)
        return Refusal("too_contended", f"{decider.kind} {identity} changes too fast; try again", 409)

    async def _after_unknown(
        self, decider: Decider[S, C], identity: str, write: Append, unknown: OutcomeUnknown
    ) -> Loaded[S]:
        try:
            if await self._is_written(write):
                return await self.load(decider, identity)
        except LogUnavailable as error:
            # It would say that nothing was written, which nobody knows.
            raise unknown from error
        raise unknown

    async def _writes(
        self,
        decider: Decider[S, C],
        identity: str,
        loaded: Loaded[S],
        decision: Sequence[EventData],
        actor: str,
    ) -> tuple[Loaded[S], list[Append] | Refusal]:
        after = loaded
        events: list[Event] = []
        for data in decision:
            item = self._envelope(decider.kind, identity, data, actor, after.last_hash)
            events.append(item)
            after = Loaded(
                decider.evolve(after.state, data),
                after.version + 1,
                after.sequence,
                chain_hash(encode_event(item)),
            )
        writes = [Append(subject_of(decider.kind, identity), events, loaded.sequence)]
        before_name, after_name = decider.name_of(loaded.state), decider.name_of(after.state)
        if before_name != after_name:
            if after_name is not None:
                claim = await self._claim(decider.kind, identity, after_name, actor)
                if isinstance(claim, Refusal):
                    return after, claim
                writes.append(claim)
            if before_name is not None:
                writes.append(await self._release(decider.kind, identity, before_name, actor))
        return after, writes

    async def _claim(self, kind: str, identity: str, name: str, actor: str) -> Append | Refusal:
        holder, sequence = await self._holder(kind, name)
        if holder is not None and holder != identity:
            return Refusal("name_taken", f"a {kind} named {name!r} exists already")
        data = NameTaken(kind=kind, name=name, owner=identity)
        return Append(name_subject(kind, name), [self._envelope("name", name, data, actor, None)], sequence)

    async def _release(self, kind: str, identity: str, name: str, actor: str) -> Append:
        _, sequence = await self._holder(kind, name)
        data = NameFreed(kind=kind, name=name, owner=identity)
        return Append(name_subject(kind, name), [self._envelope("name", name, data, actor, None)], sequence)

    async def _holder(self, kind: str, name: str) -> tuple[str | None, int]:
        holder: str | None = None
        sequence = 0
        async for recorded in self._log.read(LR_CONFIG, name_subject(kind, name)):
            sequence = recorded.sequence
            match recorded.event:
                case Event(data=NameTaken(owner=owner)):
                    holder = owner
                case Event(data=NameFreed()):
                    holder = None
                case _:
                    raise LogDamaged(f"{recorded.subject} at {recorded.sequence}: {recorded.broken}")
        return holder, sequence

    async def _is_written(self, write: Append) -> bool:
        wanted = {item.id for item in write.events}
        async for recorded in self._log.read(LR_CONFIG, write.subject):
            if recorded.event is not None and recorded.event.id in wanted:
                return True
        return False

    def _envelope(self, kind: str, identity: str, data: EventData, actor: str, previous: str | None) -> Event:
        return wrap(
            data,
            event_id=self._new_id(),
            time=self._clock.now(),
            source=self._source,
            subject=f"{kind}/{identity}",
            actor=actor,
            previous=previous,
        )
