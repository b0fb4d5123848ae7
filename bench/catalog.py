"""What a search of the catalog costs: ``python -m bench.catalog`` prints one table, with 10,000 models at 20 providers.

A search is one question of the admin API's ``models``: every filter alone, all together, and a page in the middle.
Each is CPU time of one call.
"""

import sys
import time
from statistics import median
from typing import Final

from services.providers.api.schemas import model_out
from services.providers.domain.search import ModelIndex, Search
from shared.contracts.catalog import Capability, Model, Prices

MODELS: Final = 10_000
PAGE: Final = 100
GOAL_MS: Final = 5.0
_ROUNDS: Final = 50
_USD: Final = 10**12
_KINDS: Final = (
    (Capability.CHAT,),
    (Capability.CHAT, Capability.TOOLS),
    (Capability.CHAT, Capability.TOOLS, Capability.VISION),
)
SEARCHES: Final = {
    "everything": Search(),
    "provider": Search(provider="p3"),
    "capabilities": Search(capabilities=(Capability.TOOLS, Capability.VISION)),
    "parameters": Search(min_parameters_b=7, max_parameters_b=9),
    "context": Search(min_context=100_000),
    "price": Search(max_price=_USD),
    "words": Search(text="p3 99"),
    "words that nothing holds": Search(text="no such model"),
    "all of these": Search(
        capabilities=_KINDS[2], min_parameters_b=10, min_context=9_000, max_price=18 * _USD, text="model"
    ),
}


def model(place: int) -> Model:
    """Return the model at a place: sizes, windows and prices differ, and some are unknown."""
    provider = f"p{place % 20}"
    return Model(
        id=f"{provider}/model-{place:05}",
        provider_id=f"id-{provider}",
        provider=provider,
        native_id=f"model-{place:05}",
        capabilities=_KINDS[place % 3],
        context_window=None if place % 7 == 0 else 1_000 * (place % 200),
        parameters_b=None if place % 5 == 0 else place % 70 + 0.5,
        prices=None if place % 11 == 0 else Prices(input=place * _USD // 1_000, output=place * _USD // 500),
    )


def table() -> str:
    """Return the figures in Markdown."""
    models = [model(place) for place in range(MODELS)]
    began = time.thread_time()
    index = ModelIndex(models)
    built_ms = (time.thread_time() - began) * 1_000
    lines = ["| search | found | median ms | slowest ms | aim, ms |", "| --- | --- | --- | --- | --- |"]
    for name, search in SEARCHES.items():
        lines.append(_row(name, index, search, None))
    lines.append(_row("everything, from the middle on", index, Search(), "p3"))
    page = index.find(Search(), limit=PAGE)
    began = time.thread_time()
    for one in page:
        model_out(one, "healthy", stale=False).model_dump_json()
    told_ms = (time.thread_time() - began) * 1_000
    lines += ["", f"The index is built in {built_ms:.0f} ms, a page of {PAGE} is told in {told_ms:.1f} ms."]
    return "\n".join(lines)


def _row(name: str, index: ModelIndex, search: Search, after: str | None) -> str:
    took: list[float] = []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        index.find(search, limit=PAGE, after=after)
        took.append((time.thread_time() - began) * 1_000)
    found = len(index.find(search, limit=MODELS, after=after))
    mark = "" if median(took) <= GOAL_MS else " (missed)"
    return f"| {name} | {found} | {median(took):.2f} | {max(took):.2f} | {GOAL_MS:g}{mark} |"


def main() -> None:
    """Print the table."""
    sys.stdout.write(table() + "\n")


if __name__ == "__main__":
    main()
