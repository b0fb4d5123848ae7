"""Azure OpenAI by its v1 API, the base URL of which is the resource's: ``https://<resource>.openai.azure.com/openai/v1``.

A model is the name of a deployment, which the list of models does not hold: name them in the provider's options.
"""

from typing import Final

from services.providers.domain.vendor import OPEN_SAMPLERS, Auth, Vendor

VENDOR: Final = Vendor(
    slug="azure",
    name="Azure OpenAI",
    base_url=None,
    docs="https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle",
    speaks={
        "openai_chat": "/chat/completions",
        "openai_responses": "/responses",
        "openai_embeddings": "/embeddings",
    },
    embeds="openai_embeddings",
    auth=Auth("api-key", ""),
    lacks=OPEN_SAMPLERS,
    quirks=frozenset({"max_completion_tokens"}),
    price_book="azure",
)
