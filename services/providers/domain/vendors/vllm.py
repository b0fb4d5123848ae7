"""vLLM's server; ``user`` is ignored there: https://docs.vllm.ai/en/stable/serving/online_serving/."""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.vendor import OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="vllm",
    name="vLLM",
    base_url="http://localhost:8000/v1",
    docs="https://docs.vllm.ai/en/stable/serving/online_serving/",
    credential="optional",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_completions": "/completions",
        "openai_responses": "/responses",
        "openai_embeddings": "/embeddings",
    },
    embeds="openai_embeddings",
    lacks=OPENAI_ALONE | {Parameter.USER},
    quirks=frozenset({"video_url"}),
    local=True,
)
