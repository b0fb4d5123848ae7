"""Alibaba Cloud's Model Studio (DashScope), international, by its compatible mode. Thinking has switches of its own.

An abort does not end billing: https://openrouter.ai/docs/api-reference/streaming.
"""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.vendor import OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="alibaba",
    name="Alibaba Cloud",
    base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    docs="https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope",
    environment="DASHSCOPE_API_KEY",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_embeddings": "/embeddings",
    },
    embeds="openai_embeddings",
    lacks=OPENAI_ALONE
    | {Parameter.FREQUENCY_PENALTY, Parameter.LOGIT_BIAS, Parameter.MIN_P, Parameter.REASONING, Parameter.USER},
    quirks=frozenset({"text inputs"}),
    abort_stops_billing=False,
)
