"""Moonshot's Kimi; calls of its thinking models must come back with the thoughts before them.

Whether an abort ends billing is not documented.
"""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.dialect import Range
from services.providers.domain.vendor import OPEN_SAMPLERS, OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="moonshot",
    name="Moonshot AI",
    base_url="https://api.moonshot.ai/v1",
    docs="https://platform.kimi.ai/docs/api/models-overview",
    environment="MOONSHOT_API_KEY",
    lacks=OPENAI_ALONE
    | OPEN_SAMPLERS
    | {
        Parameter.LOGIT_BIAS,
        Parameter.LOGPROBS,
        Parameter.TOP_LOGPROBS,
        Parameter.PARALLEL_TOOL_CALLS,
        Parameter.SEED,
        Parameter.USER,
    },
    ranges={Parameter.TEMPERATURE: Range(0, 1)},
    quirks=frozenset({"max_completion_tokens", "reasoning_content"}),
    abort_stops_billing=False,
    price_book="moonshotai",
)
