"""OpenAI. A stream that is cut off ends billing: https://openrouter.ai/docs/api-reference/streaming lists it."""

from typing import Final

from services.providers.domain.vendor import OPEN_SAMPLERS, Vendor

VENDOR: Final = Vendor(
    slug="openai",
    name="OpenAI",
    base_url="https://api.openai.com/v1",
    docs="https://platform.openai.com/docs/api-reference/chat",
    environment="OPENAI_API_KEY",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_completions": "/completions",
        "openai_responses": "/responses",
        "openai_embeddings": "/embeddings",
    },
    embeds="openai_embeddings",
    only={"openai_completions": r"gpt-3\.5-turbo-instruct.*|(?:davinci|babbage)-002|ft:(?:davinci|babbage)-002.*"},
    lacks=OPEN_SAMPLERS,
    quirks=frozenset({"max_completion_tokens"}),
    price_book="openai",
)
