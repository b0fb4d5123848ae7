"""Models that a subscription pays for before all others."""

from typing import Final

from shared.contracts.catalog import Model
from shared.routing.scoring import Evidence, Score

_FIRST: Final = Score(0.0, because="paid by a subscription")
_SECOND: Final = Score(1.0, because="no subscription")


def score(model: Model, evidence: Evidence) -> Score:
    """Return 0 for a model of a subscription, 1 for any other."""
    return _FIRST if model.subscription else _SECOND
