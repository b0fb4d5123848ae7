"""Perplexity's Sonar: it searches by itself, calls no functions, and lists no models: name them in the options.

An abort does not end billing: https://openrouter.ai/docs/api-reference/streaming.
"""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.vendor import OPENAI_ALONE, Vendor
from shared.contracts.catalog import Capability

VENDOR: Final = Vendor(
    slug="perplexity",
    name="Perplexity",
    base_url="https://api.perplexity.ai",
    docs="https://docs.perplexity.ai/docs/sonar/openai-compatibility",
    environment="PERPLEXITY_API_KEY",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_embeddings": "/v1/embeddings",
    },
    embeds="openai_embeddings",
    models_path=None,
    lacks=OPENAI_ALONE.difference({Parameter.WEB_SEARCH})
    | {
        Parameter.TOOLS,
        Parameter.TOOL_CHOICE,
        Parameter.PARALLEL_TOOL_CALLS,
        Parameter.FORMAT_JSON,
        Parameter.LOGIT_BIAS,
        Parameter.LOGPROBS,
        Parameter.TOP_LOGPROBS,
        Parameter.MIN_P,
        Parameter.N,
        Parameter.SEED,
    },
    capabilities=(Capability.CHAT, Capability.JSON_SCHEMA),
    abort_stops_billing=False,
    price_book="perplexity",
)
