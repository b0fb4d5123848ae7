"""The strategies by name: each is one function that scores a model, and a router composes them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from services.router.domain.strategies import highest_performance, local_first, lowest_cost
from shared.routing.compile import Scorer

STRATEGIES: Final[Mapping[str, Scorer]] = MappingProxyType(
    {
        "lowest_cost": lowest_cost.score,
        "highest_performance": highest_performance.score,
        "local_first": local_first.score,
    }
)
