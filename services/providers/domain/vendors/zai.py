"""Z.ai's GLM: tools are called as it sees fit, JSON is not held to a schema, and one stop sequence is taken.

Whether an abort ends billing is not documented.
"""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.dialect import Range
from services.providers.domain.vendor import OPEN_SAMPLERS, OPENAI_ALONE, Vendor
from shared.contracts.catalog import Capability

VENDOR: Final = Vendor(
    slug="zai",
    name="Z.ai",
    base_url="https://api.z.ai/api/paas/v4",
    docs="https://docs.z.ai/api-reference/llm/chat-completion",
    environment="ZAI_API_KEY",
    lacks=OPENAI_ALONE
    | OPEN_SAMPLERS
    | {
        Parameter.TOOL_CHOICE,
        Parameter.PARALLEL_TOOL_CALLS,
        Parameter.FORMAT_SCHEMA,
        Parameter.PRESENCE_PENALTY,
        Parameter.FREQUENCY_PENALTY,
        Parameter.LOGIT_BIAS,
        Parameter.LOGPROBS,
        Parameter.TOP_LOGPROBS,
        Parameter.N,
        Parameter.SEED,
        Parameter.USER,
    },
    ranges={Parameter.TEMPERATURE: Range(0, 1), Parameter.STOP: Range(0, 1)},
    quirks=frozenset({"thinking switch", "reasoning_content"}),
    capabilities=(Capability.CHAT, Capability.TOOLS),
    abort_stops_billing=False,
    price_book="zai",
)
