"""What aggregates must do on any EventLog; a test class brings the fixture ``log``."""
# ruff: noqa: D102  a test's name is its sentence

import asyncio
from dataclasses import dataclass, replace

from shared.contracts.config import AutomaticOrder, RouterCreated, RouterDeleted, RouterReplaced, RouterSpec, Strategy
from shared.contracts.envelope import EventData
from shared.kernel.errors import LogDamaged, Refusal
from shared.log.aggregates import Aggregates, Decider, Decision, Loaded, subject_of
from shared.log.port import LR_CONFIG, EventLog
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.testing.log_contract import failure_of


@dataclass(frozen=True, slots=True)
class Thing:
    """An aggregate with a unique name and a number of edits."""

    identity: str | None = None
    name: str | None = None
    edits: int = 0


@dataclass(frozen=True, slots=True)
class Create:
    """Make it."""

    identity: str
    name: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Change it, or its name."""

    name: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """End it."""


Command = Create | Edit | Delete


def _spec(name: str) -> RouterSpec:
    return RouterSpec(slug=name, name=name, order=AutomaticOrder(strategies=(Strategy("lowest_cost"),)))


def _decide(command: Command, thing: Thing) -> Decision:
    match command:
        case Create() if thing.identity is not None:
            return Refusal("exists", "it exists already")
        case Create(identity, name):
            return [RouterCreated(router_id=identity, spec=_spec(name))]
        case _ if thing.identity is None or thing.name is None:
            return Refusal("absent", "there is none", 404)
        case Edit(name):
            return [RouterReplaced(router_id=thing.identity, spec=_spec(name or thing.name))]
        case Delete():
            return [RouterDeleted(router_id=thing.identity)]


def _evolve(thing: Thing, event: EventData) -> Thing:
    match event:
        case RouterCreated(router_id=identity, spec=spec):
            return Thing(identity, spec.name)
        case RouterReplaced(spec=spec):
            return replace(thing, name=spec.name, edits=thing.edits + 1)
        case _:
            return Thing()


def _name_of(thing: Thing) -> str | None:
    return thing.name


THINGS: Decider[Thing, Command] = Decider("thing", Thing, _decide, _evolve, _name_of)


def things(log: EventLog) -> Aggregates:
    """Return the repository of things."""
    return Aggregates(log, clock=SYSTEM_CLOCK, new_id=new_id, source="test")


async def accepted(aggregates: Aggregates, identity: str, command: Command) -> Loaded[Thing]:
    """Return the new state of a command that must be accepted."""
    result = await aggregates.handle(THINGS, identity, command, actor="test")
    assert not isinstance(result, Refusal), result
    return result


class AggregateContract:
    """Deciders on a real log."""

    writers = 5
    edits = 4

    async def test_a_name_belongs_to_one(self, log: EventLog) -> None:
        aggregates = things(log)
        await accepted(aggregates, "1", Create("1", "n"))
        refused = await aggregates.handle(THINGS, "2", Create("2", "n"), actor="test")
        assert isinstance(refused, Refusal)
        assert refused.code == "name_taken"
        await accepted(aggregates, "1", Edit("other"))
        await accepted(aggregates, "2", Create("2", "n"))
        await accepted(aggregates, "2", Delete())
        await accepted(aggregates, "3", Create("3", "n"))

    async def test_of_two_creates_of_a_name_at_once_one_wins(self, log: EventLog) -> None:
        results = await asyncio.gather(
            *(things(log).handle(THINGS, str(n), Create(str(n), "n"), actor="test") for n in range(5))
        )
        refusals = [item.code for item in results if isinstance(item, Refusal)]
        assert refusals == ["name_taken"] * 4

    async def test_writers_of_one_aggregate_lose_no_update(self, log: EventLog) -> None:
        await accepted(things(log), "1", Create("1", "n"))

        async def write() -> None:
            aggregates = things(log)
            done = 0
            while done < self.edits:
                result = await aggregates.handle(THINGS, "1", Edit(), actor="test")
                done += not isinstance(result, Refusal)

        await asyncio.gather(*(write() for _ in range(self.writers)))
        loaded = await things(log).load(THINGS, "1")
        assert (loaded.state.edits, loaded.version) == (self.writers * self.edits, self.writers * self.edits + 1)

    async def test_an_expected_version_that_is_past_is_refused(self, log: EventLog) -> None:
        aggregates = things(log)
        assert (await accepted(aggregates, "1", Create("1", "n"))).version == 1
        await accepted(aggregates, "1", Edit())
        result = await aggregates.handle(THINGS, "1", Edit(), actor="test", expected_version=1)
        assert isinstance(result, Refusal)
        assert (result.code, result.status) == ("version_conflict", 412)

    async def test_each_event_carries_the_hash_of_the_one_before(self, log: EventLog) -> None:
        aggregates = things(log)
        for command in (Create("1", "n"), Edit(), Edit()):
            handled = await accepted(aggregates, "1", command)
            loaded = await aggregates.load(THINGS, "1")
            assert handled == loaded
        chain = [item async for item in log.read(LR_CONFIG, subject_of("thing", "1"))]
        assert chain[0].event is not None
        assert chain[0].event.previous is None
        assert len({item.event.previous for item in chain if item.event}) == 3

    async def test_a_poison_event_stops_its_aggregate_alone(self, log: EventLog) -> None:
        aggregates = things(log)
        await accepted(aggregates, "1", Create("1", "a"))
        await accepted(aggregates, "2", Create("2", "b"))
        await log.publish(subject_of("thing", "1"), b"poison", message_id="poison")
        error = await failure_of(LogDamaged, aggregates.handle(THINGS, "1", Edit(), actor="test"))
        assert "lr.config.thing.1" in str(error)
        await accepted(aggregates, "2", Edit())
