"""OpenRouter; its completions are served from the same models as its chat."""

from typing import Final

from services.providers.domain.vendor import Vendor

VENDOR: Final = Vendor(
    slug="openrouter",
    name="OpenRouter",
    base_url="https://openrouter.ai/api/v1",
    docs="https://openrouter.ai/docs/api-reference/overview",
    environment="OPENROUTER_API_KEY",
    speaks={"openai_chat": "/chat/completions", "openai_completions": "/completions"},
    headers={"HTTP-Referer": "http://localhost:3000", "X-Title": "LocalRouter"},
    price_book="openrouter",
)
