"""The routers that exist from the first start; their ids are fixed, so one that was deleted is not made again."""

from typing import Final

from services.router.domain.router import CreateRouter
from shared.contracts.config import AutomaticOrder, RouterSpec, Strategy
from shared.kernel.ids import RouterId

DEFAULTS: Final = (
    CreateRouter(
        RouterId("00000000-0000-7000-8000-000000000001"),
        RouterSpec(
            slug="minimum-cost",
            name="Minimum Cost",
            order=AutomaticOrder(strategies=(Strategy("lowest_cost"), Strategy("highest_performance"))),
        ),
        default=True,
    ),
    CreateRouter(
        RouterId("00000000-0000-7000-8000-000000000002"),
        RouterSpec(
            slug="maximum-performance",
            name="Maximum Performance",
            order=AutomaticOrder(strategies=(Strategy("highest_performance"), Strategy("lowest_cost"))),
        ),
        default=True,
    ),
)
