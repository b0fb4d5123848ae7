"""Local models before remote ones."""

from shared.contracts.catalog import Model
from shared.routing.compile import Score

_LOCAL = Score(0.0, because="local")
_REMOTE = Score(1.0, because="remote")


def score(model: Model) -> Score:
    """Return 0 for a local model, 1 for a remote one."""
    return _LOCAL if model.local else _REMOTE
