"""Gemini by Google's API for developers. Its key goes in a header: in an address it would be logged on the way."""

from typing import Final

from services.providers.domain.vendor import Auth, Vendor
from shared.contracts.catalog import Capability

VENDOR: Final = Vendor(
    slug="gemini",
    name="Gemini",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    docs="https://ai.google.dev/api/generate-content",
    speaks={
        "gemini": "/models/{model}:generateContent",
        "gemini_embeddings": "/models/{model}:batchEmbedContents",
    },
    speech="gemini",
    embeds="gemini_embeddings",
    auth=Auth("x-goog-api-key", ""),
    environment="GEMINI_API_KEY",
    models_path="/models?pageSize=1000",
    capabilities=(Capability.CHAT, Capability.TOOLS, Capability.JSON_SCHEMA, Capability.VISION, Capability.AUDIO),
    price_book="google",
)
