"""LM Studio's server. It knows JSON by a schema only: https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/189."""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.vendor import OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="lmstudio",
    name="LM Studio",
    base_url="http://localhost:1234/v1",
    docs="https://lmstudio.ai/docs/developer/openai-compat",
    credential="optional",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_completions": "/completions",
        "openai_responses": "/responses",
        "openai_embeddings": "/embeddings",
    },
    embeds="openai_embeddings",
    lacks=OPENAI_ALONE
    | {
        Parameter.FORMAT_JSON,
        Parameter.LOGPROBS,
        Parameter.TOP_LOGPROBS,
        Parameter.MIN_P,
        Parameter.N,
        Parameter.PARALLEL_TOOL_CALLS,
        Parameter.USER,
    },
    quirks=frozenset({"text inputs"}),
    local=True,
)
