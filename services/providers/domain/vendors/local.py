"""The built-in model: SmolLM2 in a llama.cpp server that is started on first use."""

from typing import Final

from services.providers.domain.vendor import Vendor

VENDOR: Final = Vendor(
    slug="local",
    name="Built-in model",
    base_url="builtin://smollm2",
    dialect="openai_chat",
    docs="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
    credential="none",
    completions_path="/completions",
    prefill=True,
    local=True,
)
