"""Hugging Face's router to many hosts. An abort does not end billing: https://openrouter.ai/docs/api-reference/streaming."""

from typing import Final

from services.providers.domain.vendor import OPEN_SAMPLERS, OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="huggingface",
    name="Hugging Face",
    base_url="https://router.huggingface.co/v1",
    docs="https://huggingface.co/docs/inference-providers/tasks/chat-completion",
    environment="HF_TOKEN",
    lacks=OPENAI_ALONE | OPEN_SAMPLERS,
    abort_stops_billing=False,
)
