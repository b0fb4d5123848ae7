"""Fireworks AI."""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.vendor import OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="fireworks",
    name="Fireworks AI",
    base_url="https://api.fireworks.ai/inference/v1",
    docs="https://docs.fireworks.ai/api-reference/post-chatcompletions",
    environment="FIREWORKS_API_KEY",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_completions": "/completions",
        "openai_responses": "/responses",
        "openai_embeddings": "/embeddings",
    },
    embeds="openai_embeddings",
    lacks=OPENAI_ALONE.difference({Parameter.PREDICTION}),
    price_book="fireworks",
)
