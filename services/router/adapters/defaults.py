"""Makes the default routers at the first start."""

import structlog

from services.router.domain.defaults import DEFAULTS
from services.router.domain.router import ROUTER
from shared.kernel.errors import Refusal
from shared.log.aggregates import Aggregates

_log = structlog.get_logger("router")
_EXPECTED = frozenset({"router_exists", "router_deleted"})


class DefaultRouters:
    """Part of the service's start; it has no life after that."""

    def __init__(self, aggregates: Aggregates) -> None:
        self._aggregates = aggregates

    async def start(self) -> None:
        """Create those that never existed."""
        for command in DEFAULTS:
            made = await self._aggregates.handle(ROUTER, command.id, command, actor="router")
            if isinstance(made, Refusal) and made.code not in _EXPECTED:
                _log.warning("default router not made", router=command.spec.slug, why=made.message)

    async def stop(self) -> None:
        """Nothing to end."""
