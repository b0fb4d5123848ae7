"""Cerebras: penalties and logit_bias are answered 400. Whether an abort ends billing is not documented."""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.vendor import OPEN_SAMPLERS, OPENAI_ALONE, Vendor

VENDOR: Final = Vendor(
    slug="cerebras",
    name="Cerebras",
    base_url="https://api.cerebras.ai/v1",
    docs="https://inference-docs.cerebras.ai/resources/openai",
    environment="CEREBRAS_API_KEY",
    lacks=OPENAI_ALONE
    | OPEN_SAMPLERS
    | {Parameter.FREQUENCY_PENALTY, Parameter.PRESENCE_PENALTY, Parameter.LOGIT_BIAS, Parameter.N},
    abort_stops_billing=False,
    price_book="cerebras",
)
