"""Groq. It answers 400 to logprobs, logit_bias and n: https://console.groq.com/docs/openai.

An abort does not end billing: https://openrouter.ai/docs/api-reference/streaming.
"""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.vendor import OPEN_SAMPLERS, OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="groq",
    name="Groq",
    base_url="https://api.groq.com/openai/v1",
    docs="https://console.groq.com/docs/api-reference",
    environment="GROQ_API_KEY",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_responses": "/responses",
    },
    lacks=OPENAI_ALONE.difference({Parameter.SERVICE_TIER})
    | OPEN_SAMPLERS
    | {Parameter.LOGPROBS, Parameter.TOP_LOGPROBS, Parameter.LOGIT_BIAS, Parameter.N},
    abort_stops_billing=False,
    price_book="groq",
)
