"""Ollama, by its native API: the compatible one neither takes a context size nor names capabilities."""

from typing import Final

from services.providers.domain.vendor import Vendor

VENDOR: Final = Vendor(
    slug="ollama",
    name="Ollama",
    base_url="http://localhost:11434",
    dialect="ollama",
    docs="https://github.com/ollama/ollama/blob/main/docs/api.md",
    credential="optional",
    chat_path="/api/chat",
    models_path="/api/tags",
    prefill=True,
    local=True,
)
