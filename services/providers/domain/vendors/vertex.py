"""Gemini on Vertex AI in express mode, which an API key opens.

A project's own endpoint is reached by giving it as base URL, as long as it takes an API key; tokens of service accounts
that must be renewed, models of other makers, and vectors (another dialect there) are not.
"""

from typing import Final

from services.providers.domain.vendor import Auth, Vendor
from shared.contracts.catalog import Capability

VENDOR: Final = Vendor(
    slug="vertex",
    name="Vertex AI",
    base_url="https://aiplatform.googleapis.com/v1beta1/publishers/google",
    docs="https://cloud.google.com/vertex-ai/generative-ai/docs/start/express-mode/overview",
    speaks={"gemini": "/models/{model}:generateContent"},
    speech="gemini",
    auth=Auth("x-goog-api-key", ""),
    environment="VERTEX_API_KEY",
    models_path="/models?pageSize=300",
    quirks=frozenset({"plain count"}),
    capabilities=(Capability.CHAT, Capability.TOOLS, Capability.JSON_SCHEMA, Capability.VISION, Capability.AUDIO),
    price_book="google",
)
