"""DeepSeek; its thinking is switched, and earlier thoughts go back: https://api-docs.deepseek.com/guides/thinking_mode."""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.dialect import Range
from services.providers.domain.vendor import OPEN_SAMPLERS, OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="deepseek",
    name="DeepSeek",
    base_url="https://api.deepseek.com",
    docs="https://api-docs.deepseek.com/api/create-chat-completion",
    environment="DEEPSEEK_API_KEY",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_responses": "/responses",
        "anthropic_messages": "/anthropic/v1/messages",
    },
    lacks=OPENAI_ALONE
    | OPEN_SAMPLERS
    | {
        Parameter.FORMAT_SCHEMA,
        Parameter.LOGIT_BIAS,
        Parameter.N,
        Parameter.PARALLEL_TOOL_CALLS,
        Parameter.SEED,
        Parameter.USER,
    },
    ranges={Parameter.STOP: Range(0, 16)},
    quirks=frozenset({"thinking switch", "reasoning_content"}),
    price_book="deepseek",
)
