"""The ``prices`` aggregate, one per source: what may be decided about what models cost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, TypeVar

from shared.contracts.catalog import Prices
from shared.contracts.envelope import EventData
from shared.contracts.price_book import PricesChanged
from shared.kernel.errors import Refusal
from shared.log.aggregates import Decider

T = TypeVar("T")

_PER_EVENT: Final = 200
"""Models in one event: with every tier there is still far below what one message may hold."""
_MOST: Final = 10_000
"""Models that one change may name."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source of the price book as its events made it."""

    version: int = 0
    models: Mapping[str, Prices] = field(default_factory=dict[str, Prices])


@dataclass(frozen=True, slots=True)
class TakePrices:
    """Make a source say this of the models named; None: it does not know. Of others it says what it said before."""

    source: str
    found: Mapping[str, Prices | None]
    at: datetime
    origin: str = ""


def decide(command: TakePrices, state: Source) -> list[EventData] | Refusal:
    """Decide a command: nothing new is no event, a big change is several events of one version."""
    known = state.models
    changed = [(model, prices) for model, prices in command.found.items() if prices and known.get(model) != prices]
    removed = [model for model, prices in command.found.items() if prices is None and model in known]
    if len(changed) + len(removed) > _MOST:
        return Refusal("too_many_prices", f"one change of prices names at most {_MOST} models", 422)
    if min((_least(prices) for _, prices in changed), default=0) < 0:
        return Refusal("invalid_price", "a price is not below zero", 422)
    parts: list[tuple[dict[str, Prices], tuple[str, ...]]] = []
    parts += [(dict(part), ()) for part in _parts(sorted(changed, key=itemgetter(0)))]
    parts += [({}, tuple(part)) for part in _parts(sorted(removed))]
    return [
        PricesChanged(
            source=command.source,
            version=state.version + 1,
            effective_at=command.at,
            origin=command.origin,
            changed=part,
            removed=gone,
            more=place < len(parts),
        )
        for place, (part, gone) in enumerate(parts, 1)
    ]


def _parts(items: list[T]) -> Iterator[list[T]]:
    return (items[start : start + _PER_EVENT] for start in range(0, len(items), _PER_EVENT))


def _least(prices: Prices) -> int:
    """Return the lowest number of what an operator can set."""
    classes = (prices.cached, prices.cache_write, prices.cache_write_1h, prices.audio_input, prices.audio_output)
    return min(prices.input, prices.output, prices.request, *(one for one in classes if one is not None))


def evolve(state: Source, event: Any) -> Source:
    """Apply an event."""
    match event:
        case PricesChanged(version=version, changed=changed, removed=removed):
            kept = {model: prices for model, prices in state.models.items() if model not in set(removed)}
            return replace(state, version=version, models=kept | changed)
        case _:
            return state


PRICES: Final[Decider[Source, TakePrices]] = Decider(kind="prices", initial=Source, decide=decide, evolve=evolve)
