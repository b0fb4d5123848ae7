"""Writes the goldens of costs: ``python -m tests.support.cost_goldens`` reads every recorded usage and writes them.

One file per vendor in ``tests/golden/services/providers/costs``: the prices of its models on one day, in pico-USD per
million tokens, and for every distinct count that the vendor made, by wire format and model, what it is read as and what
it costs in USD. ``said`` is what the vendor itself says that it cost, where it does.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from services.providers.adapters.price_book import look_up
from services.providers.domain.catalog import read_list
from services.providers.domain.dialects.anthropic_messages import usage as anthropic
from services.providers.domain.dialects.cohere_chat.answer import cohere_usage
from services.providers.domain.dialects.cohere_chat.embeddings import decode_embeddings as cohere_embeddings
from services.providers.domain.dialects.gemini.usage import gemini_usage
from services.providers.domain.dialects.openai_embeddings.answer import decode_answer as openai_embeddings
from services.providers.domain.dialects.openai_responses import answer as responses
from services.providers.domain.registry import VENDORS
from services.providers.domain.usage import ollama_usage, openai_usage
from shared.contracts.catalog import Prices
from shared.contracts.pricing import price
from shared.contracts.usage import Tokens
from shared.kernel.money import format_usd
from tests.support.recordings import FOLDER as RECORDINGS

FOLDER = Path(__file__).parents[1] / "golden" / "services" / "providers" / "costs"
DAY = datetime(2026, 11, 1, 12, tzinfo=UTC)
"""Whose prices the goldens hold."""
Json = dict[str, Any]
_KINDS = ("chat", "stream", "messages", "responses", "embeddings")
_NOT_COUNTED = re.compile(r"time|latency|duration|timestamp|ticks")


def _ollama(block: Json) -> Tokens | None:
    return ollama_usage(block.get("prompt_eval_count"), block.get("eval_count"))


def _openai_vectors(block: Json) -> Tokens | None:
    return openai_embeddings({"data": [], "usage": block}).tokens


def _cohere_vectors(block: Json) -> Tokens | None:
    return cohere_embeddings({"embeddings": {"float": []}, "meta": block}).tokens


COUNTERS: dict[str, Callable[[Json], Tokens | None]] = {
    "openai-chat": openai_usage,
    "openai-completions": openai_usage,
    "openai-responses": responses.usage_of,
    "openai-embeddings": _openai_vectors,
    "anthropic-messages": anthropic.usage_of,
    "gemini-generateContent": partial(gemini_usage, ended=True),
    "cohere-chat": cohere_usage,
    "cohere-embed": _cohere_vectors,
    "ollama-chat": _ollama,
    "ollama-generate": _ollama,
}
"""How the block of a wire format is read."""


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One count that a vendor made."""

    api: str
    model: str
    usage: Json
    tokens: Tokens
    cost: str | None
    """USD; None: the price is unknown."""
    said: str | None = None


class Costs(msgspec.Struct, kw_only=True):
    """A vendor's golden."""

    prices: dict[str, Prices | None]
    rows: list[Row]


def golden() -> dict[str, Costs]:
    """Return what is written, by vendor."""
    return {path.stem: msgspec.json.decode(path.read_bytes(), type=Costs) for path in sorted(FOLDER.glob("*.json"))}


def counted() -> Iterator[tuple[str, str, str, Json, str | None]]:
    """Yield vendor, wire format, model, count and the vendor's own cost of every recorded answer that holds one."""
    for path in sorted(RECORDINGS.glob("*/*/*.json")):
        vendor, kind = path.parts[-3], path.parts[-2]
        case = msgspec.json.decode(path.read_bytes())
        if kind not in _KINDS or case["response"].get("status") != 200 or case["api"] not in COUNTERS:
            continue
        block, answered = _block(case)
        if block:
            yield vendor, case["api"], _model(case, answered), _numbers(block), _said(block)


def recorded() -> dict[str, Costs]:
    """Return what the recordings come to now."""
    found: dict[str, dict[bytes, Row]] = {}
    for vendor, api, model, block, said in counted():
        tokens = COUNTERS[api](block)
        if tokens is None or tokens.source == "none":
            continue
        key = msgspec.json.encode([api, model, block, said], order="deterministic")
        row = Row(api=api, model=model, usage=block, tokens=tokens, cost=None, said=said)
        found.setdefault(vendor, {})[key] = row
    made: dict[str, Costs] = {}
    for vendor, rows in found.items():
        prices = _prices(vendor, sorted({row.model for row in rows.values()}))
        made[vendor] = Costs(prices=prices, rows=[rows[key] for key in sorted(rows)])
        for row in made[vendor].rows:
            known = prices[row.model]
            row.cost = None if known is None else format_usd(price(row.tokens, known, DAY))
    return made


def _prices(vendor: str, models: list[str]) -> dict[str, Prices | None]:
    known = VENDORS.get(vendor)
    if known is None:
        return dict.fromkeys(models)
    if known.local:
        return dict.fromkeys(models, Prices(input=0, output=0))
    listed: dict[str, Prices | None] = {}
    for path in sorted(RECORDINGS.glob(f"{vendor}/models/*.json")) if vendor == "openrouter" else ():
        body = msgspec.json.decode(path.read_bytes())["response"]["body"]
        listed |= {model.native_id: model.prices for model in read_list(body) if model.prices}
    public = look_up({known.price_book: models}, DAY).vendors[known.price_book] if known.price_book else {}
    return {model: listed.get(model) or (public[model].prices if model in public else None) for model in models}


def _block(case: Json) -> tuple[Json | None, str | None]:
    """Return the last count of an answer, whole or streamed, and the model that it names."""
    body = case["response"].get("body")
    if isinstance(body, dict):
        return _in(body, case["api"])
    block: Json = {}
    model = None
    for line in (case["response"].get("raw") or "").splitlines():
        text = line.removeprefix("data:").strip().lstrip("[,").rstrip(",]" if line.startswith(("[", ",")) else "")
        if not text.startswith("{"):
            continue
        try:
            event = msgspec.json.decode(text)
        except msgspec.DecodeError:
            continue
        found, named = _in(event, case["api"])
        block |= {name: value for name, value in (found or {}).items() if value is not None}
        model = named or model
    return block or None, model


def _in(event: Json, api: str) -> tuple[Json | None, str | None]:
    """Return the count in an answer or an event of one, and the model that it names."""
    inner = next((event[name] for name in ("response", "message", "delta") if isinstance(event.get(name), dict)), {})
    model = event.get("model") or inner.get("model") or event.get("modelVersion")
    if api.startswith("ollama"):
        names = ("prompt_eval_count", "eval_count")
        return {name: event[name] for name in names if name in event}, model
    if api.startswith("gemini"):
        return event.get("usageMetadata"), model
    if api == "cohere-embed":
        return event.get("meta"), model
    own = event.get("usage") or inner.get("usage") or (event.get("x_groq") or {}).get("usage")
    return (own if isinstance(own, dict) else None), model if isinstance(model, str) else None


def _model(case: Json, answered: str | None) -> str:
    """Return the model that was asked: by the body, the path, or else the one that answered. A deployment is none."""
    path, body = case["request"].get("path") or "", case["request"].get("body")
    asked = body.get("model") if isinstance(body, dict) else None
    if (named := re.search(r"/models/([^/:?]+)", path)) and named[1] != "UNKNOWN":
        asked = named[1]
    return (answered or asked if "/deployments/" in path else asked or answered) or "unknown"


def _numbers(block: Json) -> Json:
    """Return the counts of a block alone, and what they are counts of."""
    kept: Json = {}
    for name, value in block.items():
        if _NOT_COUNTED.search(name) or name.startswith("cost"):
            continue
        if isinstance(value, dict):
            if inner := _numbers(value):
                kept[name] = inner
        elif isinstance(value, list):
            kept[name] = [
                {part: row[part] for part in ("modality", "tokenCount") if part in row}
                for row in value
                if isinstance(row, dict)
            ]
        elif type(value) in (int, float):
            kept[name] = value
    return kept


def _said(block: Json) -> str | None:
    cost = block.get("cost")
    cost = cost.get("total_cost") if isinstance(cost, dict) else cost
    return None if type(cost) not in (int, float) else format(msgspec.json.decode(msgspec.json.encode(cost)), ".12g")


def main() -> None:
    """Write every vendor's."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for vendor, costs in recorded().items():
        prices = ",\n".join(
            f"  {msgspec.json.encode(model).decode()}: {msgspec.json.encode(known).decode()}"
            for model, known in costs.prices.items()
        )
        rows = ",\n".join(f"  {msgspec.json.encode(row).decode()}" for row in costs.rows)
        text = f'{{"prices": {{\n{prices}\n}}, "rows": [\n{rows}\n]}}\n'
        (FOLDER / f"{vendor}.json").write_text(text)
        unpriced = sum(row.cost is None for row in costs.rows)
        print(f"{vendor}: {len(costs.rows)} counts of {len(costs.prices)} models, {unpriced} of unknown price")


if __name__ == "__main__":
    main()
