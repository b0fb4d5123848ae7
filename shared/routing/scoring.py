"""How a strategy sees a model: its score, and the evidence that it goes by."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from shared.contracts.catalog import Model
from shared.contracts.speed import Mix, Speed


class Score(msgspec.Struct, frozen=True, gc=False):
    """A model's place by one strategy: smaller is better; models of different tiers are never a tie."""

    value: float
    because: str | Callable[[], str]
    """In words, or what makes them: thousands of models are scored, and a few explained."""
    tier: int = 0
    then: float = math.inf
    """Tells models apart that no strategy of the composition does, the smaller first; it makes no band."""

    def why(self) -> str:
        """Return why the value is what it is."""
        return self.because if isinstance(self.because, str) else self.because()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured, as far as it was: every model's speed, and the mix of tokens of the router at hand."""

    speeds: Mapping[str, Speed] = field(default_factory=dict[str, Speed])
    mix: Mix | None = None


NO_EVIDENCE: Final = Evidence()

Scorer = Callable[[Model, Evidence], Score]
