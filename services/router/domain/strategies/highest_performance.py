"""More capable models before less capable ones: by parameter count, else by what the vendor's class stands for."""

from typing import Final

from shared.contracts.catalog import Model
from shared.routing.compile import Score

CLASSES_PER_DECADE: Final = 30
"""Vendors that publish no parameter count rank their models in classes. So that both compare, a class stands for a
size: class 0 for one billion parameters, every thirty classes for ten times as many (60: 100, 90: 1,000 billion)."""

_UNKNOWN: Final = Score(0.0, because="neither parameters nor class known", tier=1)


def score(model: Model) -> Score:
    """Return the billions of parameters, negated; the unknown comes after everything known."""
    if model.parameters_b is not None:
        return Score(-model.parameters_b, because=f"{model.parameters_b:g} billion parameters")
    if model.performance_class is not None:
        stands_for = float(f"{10 ** (model.performance_class / CLASSES_PER_DECADE):.3g}")
        return Score(-stands_for, because=f"class {model.performance_class}, as {stands_for:g} billion parameters")
    return _UNKNOWN
