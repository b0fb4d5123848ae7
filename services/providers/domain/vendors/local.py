"""The built-in model: SmolLM2 in a llama.cpp server that is started on first use."""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.vendor import OPENAI_ALONE, Vendor
from shared.contracts.catalog import Capability

VENDOR: Final = Vendor(
    slug="local",
    name="Built-in model",
    base_url="builtin://smollm2",
    docs="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
    credential="none",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_completions": "/completions",
    },
    capabilities=(Capability.CHAT, Capability.JSON_SCHEMA),
    lacks=OPENAI_ALONE | {Parameter.USER},
    prefill=True,
    local=True,
)
