"""OpenAI."""

from typing import Final

from services.providers.domain.vendor import Vendor

VENDOR: Final = Vendor(
    slug="openai",
    name="OpenAI",
    base_url="https://api.openai.com/v1",
    dialect="openai_chat",
    docs="https://platform.openai.com/docs/api-reference/chat",
    environment="OPENAI_API_KEY",
    completions_path="/completions",
    price_book="openai",
)
