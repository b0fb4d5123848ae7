"""Local models before remote ones."""

from typing import Final

from shared.contracts.catalog import Model
from shared.routing.scoring import Evidence, Score

_FIRST: Final = Score(0.0, because="local")
_SECOND: Final = Score(1.0, because="remote")


def score(model: Model, evidence: Evidence) -> Score:
    """Return 0 for a local model, 1 for a remote one."""
    return _FIRST if model.local else _SECOND
