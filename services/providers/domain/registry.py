"""Which vendors there are."""

from types import MappingProxyType
from typing import Final

from services.providers.domain.vendor import Vendor
from services.providers.domain.vendors import (
    deepseek,
    groq,
    llamacpp,
    local,
    mistral,
    ollama,
    openai,
    openai_compatible,
    openrouter,
)

VENDORS: Final = MappingProxyType(
    {
        module.VENDOR.slug: module.VENDOR
        for module in (openai, openai_compatible, ollama, llamacpp, local, groq, mistral, deepseek, openrouter)
    }
)
"""By slug."""


def environment_vendors() -> list[Vendor]:
    """Return the vendors whose key may be found in an environment variable."""
    return [vendor for vendor in VENDORS.values() if vendor.environment is not None]
