"""Together AI; its ``logprobs`` is a number of alternatives, not OpenAI's switch."""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.vendor import OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="together",
    name="Together AI",
    base_url="https://api.together.ai/v1",
    docs="https://docs.together.ai/docs/inference/openai-compatibility",
    environment="TOGETHER_API_KEY",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_completions": "/completions",
        "openai_embeddings": "/embeddings",
    },
    embeds="openai_embeddings",
    lacks=OPENAI_ALONE | {Parameter.LOGPROBS, Parameter.TOP_LOGPROBS},
    quirks=frozenset({"text inputs"}),
    price_book="together",
)
