"""Ollama, by its native API: the compatible one neither takes a context size nor names capabilities."""

from typing import Final

from services.providers.domain.vendor import Vendor
from shared.contracts.catalog import Capability

VENDOR: Final = Vendor(
    slug="ollama",
    name="Ollama",
    base_url="http://localhost:11434",
    speech="ollama_chat",
    docs="https://github.com/ollama/ollama/blob/main/docs/api.md",
    credential="optional",
    speaks={"ollama_chat": "/api/chat", "ollama_generate": "/api/generate", "ollama_embed": "/api/embed"},
    embeds="ollama_embed",
    models_path="/api/tags",
    capabilities=(Capability.CHAT, Capability.JSON_SCHEMA),
    prefill=True,
    local=True,
)
