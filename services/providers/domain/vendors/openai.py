"""OpenAI."""

from typing import Final

from services.providers.domain.vendor import Vendor

VENDOR: Final = Vendor(
    slug="openai",
    name="OpenAI",
    base_url="https://api.openai.com/v1",
    docs="https://platform.openai.com/docs/api-reference/chat",
    environment="OPENAI_API_KEY",
    speaks={"openai_chat": "/chat/completions", "openai_completions": "/completions"},
    only={"openai_completions": r"gpt-3\.5-turbo-instruct.*|(?:davinci|babbage)-002|ft:(?:davinci|babbage)-002.*"},
    price_book="openai",
)
