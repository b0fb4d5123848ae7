"""Anthropic. It continues a last message of the assistant's up to the models of 4.5; whether closing the connection
ends what is billed is documented nowhere, so it is taken not to.

https://platform.claude.com/docs/en/api/overview
"""

from typing import Final

from services.providers.domain.vendor import Auth, Vendor
from shared.contracts.catalog import Capability

VENDOR: Final = Vendor(
    slug="anthropic",
    name="Anthropic",
    base_url="https://api.anthropic.com/v1",
    docs="https://platform.claude.com/docs/en/api/messages",
    speaks={"anthropic_messages": "/messages", "anthropic_count_tokens": "/messages/count_tokens"},
    speech="anthropic_messages",
    auth=Auth("x-api-key", ""),
    headers={"anthropic-version": "2023-06-01"},
    environment="ANTHROPIC_API_KEY",
    models_path="/models?limit=1000",
    prefill=True,
    prefill_only=r"claude-(?:instant|[123]\b|[a-z]+-4(?:-[0-5]\b|-\d{8}$|$)).*",
    abort_stops_billing=False,
    capabilities=(Capability.CHAT, Capability.TOOLS, Capability.JSON_SCHEMA, Capability.VISION),
    price_book="anthropic",
)
