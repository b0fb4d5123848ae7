"""Every model of the catalog in order, made to be searched: ten thousand are looked through in a few milliseconds."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from shared.contracts.catalog import Capability, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for; None and empty: anything. A bound leaves out what is unknown."""

    provider: str | None = None
    """A provider's slug or id."""
    capabilities: tuple[Capability, ...] = ()
    min_parameters_b: float | None = None
    max_parameters_b: float | None = None
    min_context: int | None = None
    max_price: int | None = None
    """Pico-USD per million tokens: of the larger of input and output price."""
    text: str | None = None
    """Words, each of which the model's id holds."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A model and what it is found by."""

    model: Model
    text: str
    capabilities: frozenset[str]
    price: int | None


class ModelIndex:
    """The models as they are at one moment."""

    def __init__(self, models: Iterable[Model] = ()) -> None:
        self._rows = [_row(model) for model in sorted(models, key=lambda model: model.id)]
        self._ids = [row.model.id for row in self._rows]
        self._of: dict[str, list[_Row]] = {}
        for row in self._rows:
            for name in {row.model.provider, row.model.provider_id}:
                self._of.setdefault(name, []).append(row)

    def __len__(self) -> int:
        return len(self._rows)

    def all(self) -> list[Model]:
        """Return every model, by id."""
        return [row.model for row in self._rows]

    def get(self, model_id: str) -> Model | None:
        """Return a model by its id."""
        place = bisect_right(self._ids, model_id) - 1
        return self._rows[place].model if place >= 0 and self._ids[place] == model_id else None

    def find(self, search: Search, *, limit: int, after: str | None = None) -> list[Model]:
        """Return the first ``limit`` models that match, by id, from the one after the id ``after`` on."""
        rows = self._rows if search.provider is None else self._of.get(search.provider, [])
        start = 0 if after is None else bisect_right(rows, after, key=lambda row: row.model.id)
        return [row.model for row in _matching(rows[start:], search)[:limit]]


def _row(model: Model) -> _Row:
    price = None if model.prices is None else max(model.prices.input, model.prices.output)
    return _Row(model, model.id.lower(), frozenset(model.capabilities), price)


def _matching(rows: list[_Row], search: Search) -> list[_Row]:
    """Return the rows that match; one pass per condition, each over what the ones before left."""
    if needed := frozenset(search.capabilities):
        rows = [row for row in rows if needed <= row.capabilities]
    if (most := search.max_price) is not None:
        rows = [row for row in rows if row.price is not None and row.price <= most]
    if (least := search.min_context) is not None:
        rows = [row for row in rows if (row.model.context_window or -1) >= least]
    if search.min_parameters_b is not None or search.max_parameters_b is not None:
        low, high = search.min_parameters_b or 0.0, search.max_parameters_b
        high = inf if high is None else high
        rows = [row for row in rows if (size := row.model.parameters_b) is not None and low <= size <= high]
    for word in (search.text or "").lower().split():
        rows = [row for row in rows if word in row.text]
    return rows
