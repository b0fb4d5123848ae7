"""Mistral; it counts usage in the last chunk unasked and refuses fields that it does not know."""

from typing import Final

from services.providers.domain.vendor import Vendor

VENDOR: Final = Vendor(
    slug="mistral",
    name="Mistral",
    base_url="https://api.mistral.ai/v1",
    docs="https://docs.mistral.ai/api/",
    environment="MISTRAL_API_KEY",
    quirks=frozenset({"no stream_options"}),
    price_book="mistral",
)
