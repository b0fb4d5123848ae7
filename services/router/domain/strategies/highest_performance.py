"""More capable models before less capable ones: by parameter count, else by what the vendor's class stands for.

Of equally capable ones the one with the higher measured pace goes first where no other strategy tells them apart.
"""

import math
from functools import partial
from typing import Final

from shared.contracts.catalog import Model
from shared.routing.scoring import Evidence, Score

_SIZE: Final = "{:g} billion parameters"
CLASSES_PER_DECADE: Final = 30
"""Vendors that publish no parameter count rank their models in classes. So that both compare, a class stands for a
size: class 0 for one billion parameters, every thirty classes for ten times as many (60: 100, 90: 1,000 billion)."""


def score(model: Model, evidence: Evidence) -> Score:
    """Return the billions of parameters, negated; the unknown comes after everything known."""
    speed = evidence.speeds.get(model.id)
    pace = math.inf if speed is None or not speed.tokens_per_s else -speed.tokens_per_s
    if model.parameters_b is not None:
        return Score(-model.parameters_b, because=partial(_SIZE.format, model.parameters_b), then=pace)
    if model.performance_class is not None:
        stands_for = float(f"{10 ** (model.performance_class / CLASSES_PER_DECADE):.3g}")
        because = f"class {model.performance_class}, as {stands_for:g} billion parameters"
        return Score(-stands_for, because=because, then=pace)
    return Score(0.0, because="neither parameters nor class known", tier=1, then=pace)
