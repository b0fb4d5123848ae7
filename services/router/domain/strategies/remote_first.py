"""Remote models before local ones."""

from typing import Final

from shared.contracts.catalog import Model
from shared.routing.scoring import Evidence, Score

_FIRST: Final = Score(0.0, because="remote")
_SECOND: Final = Score(1.0, because="local")


def score(model: Model, evidence: Evidence) -> Score:
    """Return 0 for a remote model, 1 for a local one."""
    return _FIRST if not model.local else _SECOND
