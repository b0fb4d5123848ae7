"""xAI's Grok. Which of its models refuse stop and the penalties, as those that reason do, they say themselves."""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.vendor import OPEN_SAMPLERS, OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="xai",
    name="xAI",
    base_url="https://api.x.ai/v1",
    docs="https://docs.x.ai/developers/model-capabilities/text/comparison",
    environment="XAI_API_KEY",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_responses": "/responses",
    },
    lacks=OPENAI_ALONE | OPEN_SAMPLERS | {Parameter.LOGIT_BIAS},
    price_book="x-ai",
)
