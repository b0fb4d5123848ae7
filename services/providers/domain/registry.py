"""Which vendors and dialects there are."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

from services.providers.domain.dialect import Client, CountClient, Counting, EmbedClient, EmbedSpeech, Native, Speech
from services.providers.domain.dialects.anthropic_count_tokens import dialect as anthropic_count_tokens_dialect
from services.providers.domain.dialects.anthropic_messages import dialect as anthropic_messages_dialect
from services.providers.domain.dialects.cohere_chat import dialect as cohere_dialect
from services.providers.domain.dialects.gemini import dialect as gemini_dialect
from services.providers.domain.dialects.ollama import dialect as ollama_dialect
from services.providers.domain.dialects.openai_chat import dialect as openai_chat_dialect
from services.providers.domain.dialects.openai_completions import dialect as openai_completions_dialect
from services.providers.domain.dialects.openai_embeddings import dialect as openai_embeddings_dialect
from services.providers.domain.dialects.openai_responses import dialect as openai_responses_dialect
from services.providers.domain.vendor import Vendor
from services.providers.domain.vendors import (
    alibaba,
    anthropic,
    azure_openai,
    cerebras,
    cohere,
    deepseek,
    fireworks,
    gemini,
    groq,
    huggingface,
    llamacpp,
    lmstudio,
    local,
    mistral,
    moonshot,
    ollama,
    openai,
    openai_compatible,
    openrouter,
    perplexity,
    together,
    vertex,
    vllm,
    xai,
    zai,
)

VENDORS: Final = MappingProxyType(
    {
        module.VENDOR.slug: module.VENDOR
        for module in (
            openai,
            openai_compatible,
            ollama,
            llamacpp,
            local,
            groq,
            mistral,
            deepseek,
            openrouter,
            anthropic,
            gemini,
            vertex,
            cohere,
            lmstudio,
            vllm,
            azure_openai,
            xai,
            together,
            fireworks,
            cerebras,
            perplexity,
            moonshot,
            alibaba,
            zai,
            huggingface,
        )
    }
)
"""By slug."""


def environment_vendors() -> list[Vendor]:
    """Return the vendors whose key may be found in an environment variable."""
    return [vendor for vendor in VENDORS.values() if vendor.environment is not None]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def _by_name(*values: _T) -> Mapping[str, _T]:
    return MappingProxyType({value.name: value for value in values})


CLIENTS: Final[Mapping[str, Client]] = _by_name(
    openai_chat_dialect.CLIENT,
    openai_completions_dialect.CLIENT,
    openai_responses_dialect.CLIENT,
    anthropic_messages_dialect.CLIENT,
    ollama_dialect.CHAT_CLIENT,
    ollama_dialect.GENERATE_CLIENT,
)
"""The dialects that clients ask for text in, by name."""
SPEECHES: Final[Mapping[str, Speech]] = _by_name(
    openai_chat_dialect.SPEECH,
    openai_responses_dialect.SPEECH,
    anthropic_messages_dialect.SPEECH,
    gemini_dialect.SPEECH,
    cohere_dialect.SPEECH,
    ollama_dialect.SPEECH,
)
"""The dialects that vendors are asked for text in, by name."""
NATIVES: Final[Mapping[str, Native]] = _by_name(
    openai_chat_dialect.NATIVE,
    openai_completions_dialect.NATIVE,
    openai_responses_dialect.NATIVE,
    anthropic_messages_dialect.NATIVE,
    anthropic_count_tokens_dialect.NATIVE,
    openai_embeddings_dialect.NATIVE,
    ollama_dialect.CHAT_NATIVE,
    ollama_dialect.GENERATE_NATIVE,
    ollama_dialect.EMBED_NATIVE,
)
"""The dialects that pass through where client and vendor both speak them, by name."""
EMBED_CLIENTS: Final[Mapping[str, EmbedClient]] = _by_name(
    openai_embeddings_dialect.EMBED_CLIENT,
    ollama_dialect.EMBED_CLIENT,
)
"""The dialects that clients ask for vectors in, by name."""
EMBED_SPEECHES: Final[Mapping[str, EmbedSpeech]] = _by_name(
    openai_embeddings_dialect.EMBED_SPEECH,
    gemini_dialect.EMBED_SPEECH,
    cohere_dialect.EMBED_SPEECH,
    ollama_dialect.EMBED_SPEECH,
)
"""The dialects that vendors are asked for vectors in, by name."""
COUNT_CLIENTS: Final[Mapping[str, CountClient]] = _by_name(anthropic_count_tokens_dialect.COUNT_CLIENT)
"""The dialects that clients ask for counts of tokens in, by name."""
COUNTINGS: Final[Mapping[str, Counting]] = _by_name(gemini_dialect.COUNTING)
"""How vendors count tokens, by the dialect they are asked for text in."""
