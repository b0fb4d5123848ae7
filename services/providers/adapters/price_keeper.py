"""Keeps the price book: what sources say becomes events, once per change."""

import asyncio
from collections.abc import Mapping

import structlog

from services.providers.domain.prices import PRICES, TakePrices
from services.providers.projections.prices import PricesFold
from shared.contracts.catalog import Prices
from shared.contracts.config import ProviderSpec
from shared.contracts.price_book import Priced, Sheet
from shared.kernel.clock import Clock
from shared.kernel.errors import Refusal
from shared.log.aggregates import Aggregates
from shared.log.folds import FoldRunner

log = structlog.get_logger("providers")


class PriceKeeper:
    """Writes prices and finds them."""

    def __init__(self, fold: PricesFold, runner: FoldRunner, aggregates: Aggregates, clock: Clock) -> None:
        self._fold = fold
        self._runner = runner
        self._aggregates = aggregates
        self._clock = clock
        self._writing = asyncio.Lock()

    def find(self, spec: ProviderSpec, provider_id: str, native_id: str) -> Priced | None:
        """Return what a provider's model costs, or None."""
        return self._fold.find(spec, provider_id, native_id)

    def sheets(self) -> dict[str, Sheet]:
        """Return every source of prices, by name."""
        return self._fold.sheets()

    async def take(
        self, source: str, found: Mapping[str, Prices | None], *, origin: str = "", actor: str = "providers"
    ) -> Refusal | None:
        """Note what a source says of models; returns when ``find`` answers by it. Raises LogError."""
        async with self._writing:
            if not self._news(source, found):
                return None
            command = TakePrices(source, found, self._clock.now(), origin)
            taken = await self._aggregates.handle(PRICES, source, command, actor=actor)
            if isinstance(taken, Refusal):
                log.warning("prices not taken", source=source, why=taken.message)
                return taken
            await self._runner.reached(taken.sequence)
            log.info("prices changed", source=source, version=taken.state.version)
            return None

    def _news(self, source: str, found: Mapping[str, Prices | None]) -> bool:
        """Whether there is anything to write; the fold knows without a question to the log."""
        sheet = self._fold.sheets().get(source)
        known = {} if sheet is None else sheet.models
        return any((known[model].prices if model in known else None) != prices for model, prices in found.items())
