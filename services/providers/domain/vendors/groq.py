"""Groq."""

from typing import Final

from services.providers.domain.vendor import Vendor

VENDOR: Final = Vendor(
    slug="groq",
    name="Groq",
    base_url="https://api.groq.com/openai/v1",
    docs="https://console.groq.com/docs/api-reference",
    environment="GROQ_API_KEY",
    price_book="groq",
)
