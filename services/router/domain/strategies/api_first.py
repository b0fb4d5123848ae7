"""Models paid by use before those of a subscription and local ones."""

from typing import Final

from shared.contracts.catalog import Model
from shared.routing.scoring import Evidence, Score

_FIRST: Final = Score(0.0, because="paid by use")
_SECOND: Final = Score(1.0, because="not paid by use")


def score(model: Model, evidence: Evidence) -> Score:
    """Return 0 for a remote model that no subscription pays for, 1 for any other."""
    return _FIRST if not model.subscription and not model.local else _SECOND
