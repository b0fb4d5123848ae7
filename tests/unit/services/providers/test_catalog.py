"""What vendors' lists say, what names tell, what models cost."""

from datetime import UTC, datetime
from functools import partial

import pytest

from services.providers.adapters.price_book import PublicPrices
from services.providers.domain.catalog import Listed, catalogued, next_page, read_list, read_tags, with_show
from services.providers.domain.profiles import capabilities_from_name, family_of, parameters_from_name
from services.providers.domain.registry import VENDORS
from shared.contracts.catalog import Capability, Model, Prices
from shared.contracts.config import ProviderSpec
from shared.contracts.price_book import PriceBook, PricesChanged
from shared.kernel.money import parse_usd
from shared.runtime.clock import SYSTEM_CLOCK

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USUAL = (Capability.CHAT, Capability.TOOLS)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("llama-3.1-70b-versatile", 70),
        ("mixtral-8x7b-instruct", 56),
        ("smollm2:135m", 0.135),
        ("qwen2.5-coder:1.5b", 1.5),
        ("qwen3-30b-a3b", 30),
        ("meta-llama/Llama-3.3-70B-Instruct", 70),
        ("gpt-oss-120b", 120),
        ("gemma-4-31b", 31),
        ("7.6B", 7.6),
        ("gpt-4o-mini", None),
        ("claude-3-5-sonnet", None),
        ("text-embedding-3-small", None),
        ("o1", None),
    ],
)
def test_names_tell_sizes(name, billions):
    assert parameters_from_name(name) == billions


def test_names_tell_kinds():
    assert capabilities_from_name("text-embedding-3-large", USUAL) == (Capability.EMBEDDING,)
    assert capabilities_from_name("whisper-1", USUAL) == ()
    assert capabilities_from_name("gpt-3.5-turbo-instruct", USUAL) == (Capability.COMPLETION,)
    assert Capability.VISION in capabilities_from_name("gpt-4o", USUAL)
    assert Capability.REASONING in capabilities_from_name("o3-mini", USUAL)
    assert capabilities_from_name("llama-3.1-8b", USUAL) == USUAL


def test_a_vendors_better_model_is_of_a_higher_class():
    classes = [family_of(name) for name in ("gpt-4o-mini", "gpt-4o", "gpt-5-pro")]
    ranks = [family.performance_class for family in classes if family]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 3
    assert family_of("openai/gpt-4o") == family_of("gpt-4o")


def test_openrouters_list_brings_prices_and_capabilities():
    (model,) = read_list(
        {
            "data": [
                {
                    "id": "anthropic/claude-sonnet-4",
                    "context_length": 1_000_000,
                    "architecture": {"input_modalities": ["text", "image"]},
                    "pricing": {"prompt": "0.000003", "completion": "0.000015", "input_cache_read": "0.0000003"},
                    "top_provider": {"max_completion_tokens": 64_000},
                    "supported_parameters": ["tools", "structured_outputs", "reasoning"],
                }
            ]
        }
    )
    assert model.prices == Prices(input=parse_usd("3"), output=parse_usd("15"), cached=parse_usd("0.3"))
    assert (model.context_window, model.max_output) == (1_000_000, 64_000)
    assert set(model.capabilities or ()) == {
        Capability.CHAT, Capability.TOOLS, Capability.JSON_SCHEMA, Capability.REASONING, Capability.VISION,
    }  # fmt: skip


def test_a_price_below_zero_is_unknown():
    (model,) = read_list({"data": [{"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}}]})
    assert model.prices is None


def test_other_lists_bring_what_they_bring():
    mistral = {"id": "m", "capabilities": {"completion_chat": True, "vision": True}, "max_context_length": 131_072}
    groq = {"id": "g", "context_window": 8_192, "max_completion_tokens": 4_096}
    vllm = {"id": "v", "max_model_len": 32_768}
    llamacpp = {"id": "l", "meta": {"n_ctx": 2_048, "n_ctx_train": 8_192, "n_params": 134_515_008, "ftype": "Q4_1"}}
    found = read_list({"data": [mistral, groq, vllm, llamacpp]})
    assert [model.context_window for model in found] == [131_072, 8_192, 32_768, 2_048]
    assert found[0].capabilities == (Capability.CHAT, Capability.VISION, Capability.JSON_SCHEMA)
    assert (found[3].parameters_b, found[3].quantization) == (0.135, "Q4_1")


@pytest.mark.parametrize("body", [None, {}, [], {"data": None}, {"data": "x"}, 7])
def test_what_is_no_list_is_an_error_or_empty(body):
    if body == []:
        assert read_list(body) == []
    else:
        with pytest.raises(ValueError, match="list of models"):
            read_list(body)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"data": [], "has_more": True, "last_id": "m&1"}, "/models?limit=9&after_id=m%261"),
        ({"data": [], "has_more": False, "last_id": "m"}, None),
        ({"models": [], "nextPageToken": "a="}, "/models?limit=9&pageToken=a%3D"),
        ({"models": [], "next_page_token": "a"}, "/models?limit=9&page_token=a"),
        ({"models": [], "nextPageToken": ""}, None),
        ({"data": []}, None),
        ([], None),
    ],
)
def test_a_list_names_its_next_page(body, path):
    assert next_page("/models?limit=9", body) == path


def test_a_vendor_without_a_list_is_there_when_it_answers_at_all():
    assert [VENDORS["perplexity"].probed(status) for status in (401, 404, 405, 503)] == [200, 200, 200, 503]
    assert VENDORS["openai"].probed(404) == 404


def test_rows_that_make_no_sense_are_left_out():
    rows = [None, 7, {}, {"id": 7}, {"id": ""}, {"id": "a b"}, {"id": "a\n"}, {"id": "x" * 300}, {"id": "ok"}]
    assert [model.native_id for model in read_list({"data": rows})] == ["ok"]


def test_ollamas_tags_and_show_make_a_model():
    details = {"parameter_size": "3.2B", "quantization_level": "Q4_K_M"}
    (listed,) = read_tags({"models": [{"name": "llama3.2:latest", "model": "llama3.2:latest", "details": details}]})
    assert (listed.native_id, listed.parameters_b, listed.quantization) == ("llama3.2:latest", 3.2, "Q4_K_M")
    info = {
        "general.architecture": "llama", "general.parameter_count": 3_212_749_888, "llama.context_length": 131_072
    }  # fmt: skip
    shown = with_show(listed, {"model_info": info, "capabilities": ["completion", "tools"]})
    assert (shown.context_window, shown.parameters_b) == (131_072, 3.213)
    assert set(shown.capabilities or ()) >= {Capability.CHAT, Capability.TOOLS}


def models(
    spec: ProviderSpec, *listed: Listed, book: PriceBook | None = None, windows: dict[str, int | None] | None = None
) -> tuple[Model, ...]:
    return catalogued(
        listed,
        provider_id="p",
        spec=spec,
        vendor=VENDORS[spec.vendor],
        windows=windows or {},
        costs=partial((book or PriceBook()).find, spec, "p"),
        aliases=lambda _: (),
    )


def test_a_local_model_costs_nothing_and_an_unknown_price_is_unknown():
    local = ProviderSpec(slug="ollama", vendor="ollama", base_url="http://localhost:11434", local=True)
    remote = ProviderSpec(slug="x", vendor="openai-compatible", base_url="https://x.example/v1")
    (free,) = models(local, Listed(native_id="llama3.2:3b"))
    (unknown,) = models(remote, Listed(native_id="llama-3.2-3b"))
    assert free.prices == Prices(input=0, output=0)
    assert unknown.prices is None
    assert unknown.id == "x/llama-3.2-3b"


def test_a_price_names_its_source_and_version():
    spec = ProviderSpec(slug="openai", vendor="openai", base_url="https://api.openai.com/v1")
    book = PriceBook()
    book.apply(
        PricesChanged(
            source="genai-prices", version=3, effective_at=NOW, changed={"openai/gpt-4o": Prices(input=1, output=2)}
        )
    )
    listed = (Listed(native_id="gpt-4o"), Listed(native_id="whisper-1"))
    (model,) = models(spec, *listed, book=book, windows={"gpt-4o": 128_000})
    assert (model.price_source, model.price_version) == ("genai-prices", "genai-prices@3")
    assert (model.prices, model.context_window) == (Prices(input=1, output=2), 128_000)
    assert Capability.COMPLETION in model.capabilities


async def test_public_prices_are_looked_up_in_a_child_once_and_kept(tmp_path):
    path = tmp_path / "price-book.json"
    first = await PublicPrices(path, SYSTEM_CLOCK).prices("openai", ["gpt-4o", "nope"])
    assert first["gpt-4o"].prices is not None
    assert first["nope"].prices is None
    again = PublicPrices(path, SYSTEM_CLOCK)
    again._ask = None  # type: ignore[assignment,method-assign]  a second child would be an error
    assert await again.prices("openai", ["gpt-4o", "nope"]) == first


async def test_a_damaged_file_of_prices_is_made_anew(tmp_path):
    path = tmp_path / "price-book.json"
    path.write_text("{")
    found = await PublicPrices(path, SYSTEM_CLOCK).prices("groq", ["llama-3.1-8b-instant"])
    assert found["llama-3.1-8b-instant"].prices is not None


def test_geminis_list_tells_methods_limits_and_thinking():
    row = {"inputTokenLimit": 1_000, "outputTokenLimit": 100, "supportedGenerationMethods": ["generateContent"]}
    models = read_list(
        {
            "models": [
                {**row, "name": "models/gemini-2.5-pro", "thinking": True},
                {**row, "name": "models/gemini-2.0-flash"},
                {**row, "name": "models/gemma-3-27b-it"},
                {**row, "name": "models/gemini-2.5-flash-preview-tts"},
                {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"]},
                {"name": "models/veo-3.0", "supportedGenerationMethods": ["predictLongRunning"]},
                {"name": 3},
            ]
        }
    )
    found = {model.native_id: model.capabilities or () for model in models}
    chats = (Capability.CHAT, Capability.TOOLS, Capability.VISION, Capability.AUDIO, Capability.JSON_SCHEMA)
    assert found == {
        "gemini-2.5-pro": (*chats, Capability.REASONING),
        "gemini-2.0-flash": chats,
        "gemma-3-27b-it": (Capability.CHAT, Capability.VISION),
        "gemini-2.5-flash-preview-tts": (),
        "gemini-embedding-001": (Capability.EMBEDDING,),
        "veo-3.0": (),
    }
    assert (models[0].context_window, models[0].max_output) == (1_000, 100)


def test_vertex_and_cohere_list_names():
    (model,) = read_list({"publisherModels": [{"name": "publishers/google/models/gemini-2.5-flash"}]})
    assert (model.native_id, model.capabilities) == ("gemini-2.5-flash", None)
    rows = [
        {"name": "command-a", "endpoints": ["chat"], "features": ["tools", "vision", "x"], "context_length": 256_000},
        {"name": "embed-v4.0", "endpoints": ["embed", "classify"]},
        {"name": "rerank-v3.5", "endpoints": ["rerank"]},
    ]
    command, embed, rerank = read_list({"models": rows})
    assert command.capabilities == (Capability.CHAT, Capability.TOOLS, Capability.VISION)
    assert command.context_window == 256_000
    assert (embed.capabilities, rerank.capabilities) == ((Capability.EMBEDDING,), ())
