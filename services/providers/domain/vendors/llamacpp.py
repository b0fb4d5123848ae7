"""llama.cpp's own server."""

from typing import Final

from services.providers.domain.vendor import Vendor

VENDOR: Final = Vendor(
    slug="llamacpp",
    name="llama.cpp",
    base_url="http://localhost:8080/v1",
    docs="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
    credential="optional",
    speaks={"openai_chat": "/chat/completions", "openai_completions": "/completions"},
    prefill=True,
    local=True,
)
