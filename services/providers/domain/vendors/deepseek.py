"""DeepSeek."""

from typing import Final

from services.providers.domain.vendor import Vendor

VENDOR: Final = Vendor(
    slug="deepseek",
    name="DeepSeek",
    base_url="https://api.deepseek.com/v1",
    docs="https://api-docs.deepseek.com/api/create-chat-completion",
    environment="DEEPSEEK_API_KEY",
    price_book="deepseek",
)
