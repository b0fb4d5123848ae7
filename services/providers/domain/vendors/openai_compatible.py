"""Any server that speaks OpenAI's chat: SGLang, TGI, a gateway of one's own. What it lacks it says itself."""

from typing import Final

from services.providers.domain.vendor import Vendor

VENDOR: Final = Vendor(
    slug="openai-compatible",
    name="OpenAI-compatible",
    base_url=None,
    docs="https://platform.openai.com/docs/api-reference/chat",
    credential="optional",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_completions": "/completions",
        "openai_embeddings": "/embeddings",
    },
    embeds="openai_embeddings",
)
