"""Given–when–then for deciders."""

from typing import Any, Generic, TypeVar

from shared.contracts.envelope import EventData
from shared.kernel.errors import Refusal
from shared.log.aggregates import Decider, Decision

S = TypeVar("S")
C = TypeVar("C")


class Given(Generic[S, C]):
    """``given(decider, *events).when(command).then(*events)``."""

    def __init__(self, decider: Decider[S, C], *events: EventData) -> None:
        self._decider = decider
        self._state = decider.initial()
        for item in events:
            self._state = decider.evolve(self._state, item)

    def when(self, command: C) -> "Then":
        """Decide the command."""
        return Then(self._decider.decide(command, self._state))


class Then:
    """What was decided."""

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def then(self, *events: EventData) -> None:
        """Exactly these events."""
        assert list(self._accepted()) == list(events)

    def then_nothing(self) -> None:
        """Accepted, and no event."""
        assert not self._accepted()

    def then_refused(self, code: str) -> None:
        """Refused with this code."""
        assert isinstance(self._decision, Refusal), f"accepted: {self._decision}"
        assert self._decision.code == code

    def _accepted(self) -> Any:
        assert not isinstance(self._decision, Refusal), f"refused: {self._decision}"
        return self._decision


def given(decider: Decider[S, C], *events: EventData) -> Given[S, C]:
    """Begin a sentence about a decider."""
    return Given(decider, *events)
