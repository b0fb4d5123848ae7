"""llama.cpp's own server. It turns Anthropic's and OpenAI's newer dialects into chat itself: so does LocalRouter, for
every version of it.
"""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.vendor import OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="llamacpp",
    name="llama.cpp",
    base_url="http://localhost:8080/v1",
    docs="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
    credential="optional",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_completions": "/completions",
        "openai_embeddings": "/embeddings",
    },
    embeds="openai_embeddings",
    lacks=OPENAI_ALONE | {Parameter.USER},
    prefill=True,
    local=True,
)
