"""Mistral; it counts usage in the last chunk unasked and refuses fields that it does not know.

An abort does not end billing: https://openrouter.ai/docs/api-reference/streaming.
"""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.dialect import Range
from services.providers.domain.vendor import OPEN_SAMPLERS, OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="mistral",
    name="Mistral",
    base_url="https://api.mistral.ai/v1",
    docs="https://docs.mistral.ai/api/",
    environment="MISTRAL_API_KEY",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_embeddings": "/embeddings",
    },
    embeds="openai_embeddings",
    lacks=OPENAI_ALONE.difference({Parameter.CACHE_KEY, Parameter.PREDICTION})
    | OPEN_SAMPLERS
    | {Parameter.LOGPROBS, Parameter.TOP_LOGPROBS, Parameter.LOGIT_BIAS, Parameter.USER},
    ranges={Parameter.TEMPERATURE: Range(0, 1.5)},
    quirks=frozenset(
        {
            "no stream_options",
            "random_seed",
            "nine letter call ids",
            "prefix",
            "document_url",
            "output_dimension",
            "text inputs",
        }
    ),
    abort_stops_billing=False,
    prefill=True,
    price_book="mistral",
)
