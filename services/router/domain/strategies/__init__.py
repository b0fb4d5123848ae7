"""The strategies by name: each is one function that scores a model, and a router composes them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from services.router.domain.strategies import (
    api_first,
    fastest,
    highest_performance,
    local_first,
    lowest_cost,
    remote_first,
    subscription_first,
)
from shared.routing.scoring import Scorer

STRATEGIES: Final[Mapping[str, Scorer]] = MappingProxyType(
    {
        "lowest_cost": lowest_cost.score,
        "highest_performance": highest_performance.score,
        "fastest": fastest.score,
        "local_first": local_first.score,
        "remote_first": remote_first.score,
        "subscription_first": subscription_first.score,
        "api_first": api_first.score,
    }
)
"""Those that a plan is compiled by; ``shared.routing.ordering.SPREADS`` are decided at each request."""
