"""More capable models before less capable ones: by parameter count, else by the vendor's own class of the model."""

from typing import Final

from shared.contracts.catalog import Model
from shared.routing.compile import Score

_UNKNOWN: Final = Score(0.0, because="neither parameters nor class known", tier=2)


def score(model: Model) -> Score:
    """Return the billions of parameters, negated; then, after all those, the vendor's class; then the unknown."""
    if model.parameters_b is not None:
        return Score(-model.parameters_b, because=f"{model.parameters_b:g} billion parameters")
    if model.performance_class is not None:
        return Score(-float(model.performance_class), because=f"class {model.performance_class} of its vendor", tier=1)
    return _UNKNOWN
