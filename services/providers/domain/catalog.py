"""What vendors' lists of models say, read leniently, and enriched to what the catalog holds."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec

from services.providers.domain.profiles import capabilities_from_name, family_of, in_order, parameters_from_name
from services.providers.domain.vendor import Vendor
from shared.contracts.catalog import Capability, Model, Prices, Rates, Tier
from shared.contracts.config import ProviderSpec
from shared.contracts.price_book import Priced
from shared.kernel.money import parse_usd

_MOST_MODELS: Final = 5_000
_LONGEST_ID: Final = 256
_LONGEST_TOKEN: Final = 2_048
_BILLION: Final = 1_000_000_000


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A model as its vendor lists it; None: it does not say."""

    native_id: str
    context_window: int | None = None
    max_output: int | None = None
    parameters_b: float | None = None
    quantization: str | None = None
    capabilities: tuple[Capability, ...] | None = None
    prices: Prices | None = None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What public price lists know of a model."""

    prices: Prices | None = None
    context_window: int | None = None


Json = dict[str, Any]


def read_list(body: object) -> list[Listed]:
    """Read ``GET /models`` of any vendor but Ollama; what has no id is left out.

    Known besides OpenAI's ``id``: OpenRouter (https://openrouter.ai/docs/api-reference/list-available-models), Mistral,
    Groq, vLLM (``max_model_len``), llama.cpp (``meta``); and lists of names: Gemini (https://ai.google.dev/api/models),
    Vertex, Cohere (https://docs.cohere.com/reference/list-models); Anthropic
    (https://platform.claude.com/docs/en/api/models-list). Raises ValueError for what is no list.
    """
    rows: object = body
    if isinstance(body, dict):
        lists = (cast("Json", body).get(name) for name in ("data", "models", "publisherModels"))
        rows = next((rows for rows in lists if rows is not None), None)
    if not isinstance(rows, list):
        raise ValueError("the list of models holds no data")
    found: dict[str, Listed] = {}
    for row in cast("list[object]", rows)[:_MOST_MODELS]:
        identity = _identity(_named(cast("Json", row))) if isinstance(row, dict) else None
        if identity is not None:
            found.setdefault(identity, _listed(cast("Json", row), identity))
    return list(found.values())


def next_page(first: str, body: object) -> str | None:
    """Return the path of the page after one, made from the path of the first; None: it is the last.

    Anthropic (https://platform.claude.com/docs/en/api/models-list), Gemini (https://ai.google.dev/api/models), Cohere
    (https://docs.cohere.com/reference/list-models).
    """
    if not isinstance(body, dict):
        return None
    told = cast("Json", body)
    after = ("after_id", told.get("last_id")) if told.get("has_more") is True else ("", None)
    for name, token in (after, ("pageToken", told.get("nextPageToken")), ("page_token", told.get("next_page_token"))):
        if isinstance(token, str) and 0 < len(token) <= _LONGEST_TOKEN:
            return f"{first}{'&' if '?' in first else '?'}{name}={quote(token, safe='')}"
    return None


def _named(row: Json) -> object:
    """Return the id of a row; Google's names begin with where they lie."""
    name = row.get("id", row.get("name"))
    return name.rpartition("models/")[2] if isinstance(name, str) and "id" not in row else name


def _identity(value: object) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable() and " " not in value:
        return value
    return None


def _listed(row: Json, identity: str) -> Listed:
    meta, top = _object(row, "meta"), _object(row, "top_provider")
    return Listed(
        native_id=identity,
        context_window=_first(
            meta.get("n_ctx"),
            row.get("context_length"),
            row.get("context_window"),
            row.get("max_context_length"),
            row.get("max_model_len"),
            row.get("inputTokenLimit"),
            row.get("max_input_tokens"),
        ),
        max_output=_first(
            top.get("max_completion_tokens"),
            row.get("max_completion_tokens"),
            row.get("outputTokenLimit"),
            row.get("max_tokens") if row.get("type") == "model" else None,
        ),
        parameters_b=_billions(meta.get("n_params")),
        quantization=_text(meta.get("ftype")),
        capabilities=_told_capabilities(row, identity),
        prices=_openrouter_prices(_object(row, "pricing")),
    )


def _told_capabilities(row: Json, identity: str) -> tuple[Capability, ...] | None:
    for name, read in (("supportedGenerationMethods", _gemini_capabilities), ("endpoints", _cohere_capabilities)):
        if isinstance(row.get(name), list):
            return read(row, set(map(str, cast("list[object]", row[name]))), identity)
    told = row.get("capabilities")
    if isinstance(told, dict):
        capabilities = cast("Json", told)
        read_told = _anthropic_capabilities if "structured_outputs" in capabilities else _mistral_capabilities
        return read_told(capabilities)
    supported = row.get("supported_parameters")
    if not isinstance(supported, list):
        return None
    names = set(cast("list[str]", supported))
    modes = _object(row, "architecture").get("input_modalities")
    inputs = set(cast("list[str]", modes)) if isinstance(modes, list) else set[str]()
    found = {Capability.CHAT}
    for capability, present in (
        (Capability.TOOLS, "tools" in names),
        (Capability.JSON_SCHEMA, bool(names & {"structured_outputs", "response_format"})),
        (Capability.REASONING, "reasoning" in names),
        (Capability.VISION, "image" in inputs),
        (Capability.AUDIO, "audio" in inputs),
    ):
        if present:
            found.add(capability)
    return in_order(found)


def _anthropic_capabilities(told: Json) -> tuple[Capability, ...]:
    """What Anthropic says of a model; every one of its models chats and calls tools."""
    found = {Capability.CHAT, Capability.TOOLS}
    for capability, name in (
        (Capability.JSON_SCHEMA, "structured_outputs"),
        (Capability.VISION, "image_input"),
        (Capability.REASONING, "thinking"),
    ):
        if _object(told, name).get("supported") is True:
            found.add(capability)
    return in_order(found)


def _gemini_capabilities(row: Json, methods: set[str], identity: str) -> tuple[Capability, ...]:
    """What a model of Gemini's can do: its methods and ``thinking`` are told, the rest is known of the family."""
    if "generateContent" not in methods:
        return (Capability.EMBEDDING,) if "embedContent" in methods else ()
    usual = (Capability.CHAT,)
    if identity.startswith("gemini"):
        usual = (Capability.CHAT, Capability.TOOLS, Capability.JSON_SCHEMA, Capability.VISION, Capability.AUDIO)
    found = set(capabilities_from_name(identity, usual))
    if Capability.CHAT in found:
        found.discard(Capability.REASONING)
        if row.get("thinking") is True:
            found.add(Capability.REASONING)
    return in_order(found)


def _cohere_capabilities(row: Json, endpoints: set[str], identity: str) -> tuple[Capability, ...]:
    if "chat" not in endpoints:
        return (Capability.EMBEDDING,) if "embed" in endpoints else ()
    features = row.get("features")
    told = set(map(str, cast("list[object]", features))) if isinstance(features, list) else set[str]()
    found = set(capabilities_from_name(identity, (Capability.CHAT,)))
    for capability, feature in (
        (Capability.TOOLS, "tools"),
        (Capability.JSON_SCHEMA, "json_schema"),
        (Capability.VISION, "vision"),
        (Capability.REASONING, "reasoning"),
    ):
        if feature in told:
            found.add(capability)
    return in_order(found)


def _mistral_capabilities(told: Json) -> tuple[Capability, ...]:
    found: set[Capability] = set()
    if told.get("completion_chat"):
        found |= {Capability.CHAT, Capability.JSON_SCHEMA}
        for capability, name in (
            (Capability.TOOLS, "function_calling"),
            (Capability.VISION, "vision"),
            (Capability.AUDIO, "audio"),
            (Capability.REASONING, "reasoning"),
        ):
            if told.get(name):
                found.add(capability)
    return in_order(found)


def _openrouter_prices(pricing: Json) -> Prices | None:
    """Prices in USD per token, as text; a price below zero means that it depends. From ``min_prompt_tokens`` of an
    override on the whole request costs what it says."""
    rates = _rates(pricing)
    if rates is None:
        return None
    told = pricing.get("overrides")
    rows = cast("list[object]", told) if isinstance(told, list) else []
    tiers = [
        Tier(above=least - 1, rates=beyond)
        for row in (cast("Json", row) for row in rows if isinstance(row, dict))
        if (least := _first(row.get("min_prompt_tokens"))) and (beyond := _rates(pricing | row))
    ]
    return Prices(
        **msgspec.structs.asdict(rates),
        request=_amount(pricing.get("request"), 1) or 0,
        tiers=tuple(sorted(tiers, key=lambda tier: tier.above)),
    )


def _rates(pricing: Json) -> Rates | None:
    given, made = _per_million(pricing.get("prompt")), _per_million(pricing.get("completion"))
    if given is None or made is None:
        return None
    return Rates(
        input=given,
        output=made,
        cached=_per_million(pricing.get("input_cache_read")),
        cache_write=_per_million(pricing.get("input_cache_write")),
        cache_write_1h=_per_million(pricing.get("input_cache_write_1h")),
        # most rows say zero where nothing is charged apart
        audio_input=_per_million(pricing.get("audio")) or None,
        reasoning=_per_million(pricing.get("internal_reasoning")) or None,
    )


def _per_million(value: object) -> int | None:
    return _amount(value, 1_000_000)


def _amount(value: object, factor: int) -> int | None:
    if not isinstance(value, str | int | float):
        return None
    try:
        amount = parse_usd(Decimal(str(value)) * factor)
    except (ValueError, ArithmeticError):
        return None
    return amount if amount >= 0 else None


def read_tags(body: object) -> list[Listed]:
    """Read Ollama's ``/api/tags``; raises ValueError for what is none."""
    rows: object = cast("Json", body).get("models") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise ValueError("the list of models holds no models")
    found: list[Listed] = []
    for row in cast("list[object]", rows)[:_MOST_MODELS]:
        model = cast("Json", row) if isinstance(row, dict) else {}
        name = _identity(model.get("model") or model.get("name"))
        if name is not None:
            details = _object(model, "details")
            size = _text(details.get("parameter_size")) or ""
            found.append(
                Listed(
                    native_id=name,
                    parameters_b=parameters_from_name(size),
                    quantization=_text(details.get("quantization_level")),
                )
            )
    return found


_OLLAMA_CAPABILITIES: Final = {
    "completion": (Capability.CHAT, Capability.JSON_SCHEMA, Capability.PREFILL),
    "tools": (Capability.TOOLS,),
    "vision": (Capability.VISION,),
    "audio": (Capability.AUDIO,),
    "thinking": (Capability.REASONING,),
    "embedding": (Capability.EMBEDDING,),
}


def with_show(model: Listed, body: object) -> Listed:
    """Return a model of Ollama's with what its ``/api/show`` says besides."""
    shown = cast("Json", body) if isinstance(body, dict) else {}
    info = _object(shown, "model_info")
    architecture = _text(info.get("general.architecture"))
    told = shown.get("capabilities")
    capabilities = None
    if isinstance(told, list):
        names = cast("list[str]", told)
        capabilities = in_order({one for name in names for one in _OLLAMA_CAPABILITIES.get(name, ())})
    return msgspec.structs.replace(
        model,
        context_window=_first(info.get(f"{architecture}.context_length")) or model.context_window,
        parameters_b=_billions(info.get("general.parameter_count")) or model.parameters_b,
        capabilities=capabilities,
    )


def _object(row: Json, name: str) -> Json:
    found = row.get(name)
    return cast("Json", found) if isinstance(found, dict) else {}


def _first(*values: object) -> int | None:
    return next((value for value in values if type(value) is int and value > 0), None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _billions(value: object) -> float | None:
    return round(value / _BILLION, 3) if type(value) is int and value > 0 else None


Costs = Callable[[str], Priced | None]
"""What a model costs, by native id; None: nobody knows."""
Aliases = Callable[[str], tuple[str, ...]]
"""The operator's names of a model, by its id."""


def catalogued(
    listed: Iterable[Listed],
    *,
    provider_id: str,
    spec: ProviderSpec,
    vendor: Vendor,
    windows: Mapping[str, int | None],
    costs: Costs,
    aliases: Aliases,
) -> tuple[Model, ...]:
    """Return the catalog's models, sorted by id; ``windows``: context by native id where the vendor does not say."""
    models: list[Model] = []
    for item in listed:
        capabilities = item.capabilities
        if capabilities is None:
            capabilities = capabilities_from_name(item.native_id, vendor.capabilities)
        if Capability.CHAT in capabilities:
            prefill = (Capability.PREFILL,) if vendor.continues(item.native_id) else ()
            capabilities = in_order({*capabilities, Capability.COMPLETION, *prefill})
        if not capabilities:
            continue
        family = family_of(item.native_id)
        models.append(
            Model(
                id=f"{spec.slug}/{item.native_id}",
                provider_id=provider_id,
                provider=spec.slug,
                native_id=item.native_id,
                capabilities=capabilities,
                context_window=item.context_window or windows.get(item.native_id),
                max_output=item.max_output,
                parameters_b=item.parameters_b or parameters_from_name(item.native_id),
                quantization=item.quantization,
                performance_class=family.performance_class if family else None,
            )
        )
    return settled(sorted(models, key=lambda model: model.id), spec, costs, aliases)


def settled(models: Iterable[Model], spec: ProviderSpec, costs: Costs, aliases: Aliases) -> tuple[Model, ...]:
    """Return models as settings, names and the price book are now; a price that nobody knows is None."""
    return tuple(_settled(model, spec, costs(model.native_id), aliases(model.id)) for model in models)


def _settled(model: Model, spec: ProviderSpec, found: Priced | None, aliases: tuple[str, ...]) -> Model:
    return msgspec.structs.replace(
        model,
        local=spec.local,
        subscription=spec.subscription,
        prices=found and found.prices,
        price_source=found and found.source,
        price_version=found and found.version,
        aliases=aliases,
    )
