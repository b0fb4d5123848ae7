"""OpenRouter; its completions are served from the same models as its chat.

Whether an abort ends billing depends on who serves the model: https://openrouter.ai/docs/api-reference/streaming.
"""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.vendor import Vendor

VENDOR: Final = Vendor(
    slug="openrouter",
    name="OpenRouter",
    base_url="https://openrouter.ai/api/v1",
    docs="https://openrouter.ai/docs/api-reference/overview",
    environment="OPENROUTER_API_KEY",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_completions": "/completions",
        "openai_responses": "/responses",
        "openai_embeddings": "/embeddings",
        "anthropic_messages": "/messages",
    },
    embeds="openai_embeddings",
    lacks=frozenset({Parameter.N, Parameter.STORE}),
    quirks=frozenset({"reasoning object", "reasoning_details", "cache_control", "file urls", "video_url"}),
    abort_stops_billing=False,
    headers={"HTTP-Referer": "http://localhost:3000", "X-Title": "LocalRouter"},
    price_book="openrouter",
)
