"""Cohere, by its own chat: the compatible one neither thinks nor cites."""

from typing import Final

from services.providers.domain.vendor import Vendor

VENDOR: Final = Vendor(
    slug="cohere",
    name="Cohere",
    base_url="https://api.cohere.com",
    docs="https://docs.cohere.com/reference/chat",
    speaks={"cohere_chat": "/v2/chat", "cohere_embed": "/v2/embed"},
    speech="cohere_chat",
    embeds="cohere_embed",
    environment="COHERE_API_KEY",
    models_path="/v1/models?page_size=1000",
    price_book="cohere",
)
