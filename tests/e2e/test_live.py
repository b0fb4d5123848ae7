"""Real vendors answer through the gateway: list, chat and stream, for each whose key is in the environment."""

import os
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from bench import processes
from services.providers.domain.registry import environment_vendors

pytestmark = pytest.mark.live

# A cheap model of each vendor; LOCALROUTER_LIVE_<VENDOR> names another.
MODELS = {
    "openai": "gpt-4o-mini",
    "deepseek": "deepseek-chat",
    "groq": "llama-3.1-8b-instant",
    "mistral": "mistral-small-latest",
    "openrouter": "openai/gpt-4o-mini",
}


def cases() -> Iterator[object]:
    for vendor in environment_vendors():
        assert vendor.environment is not None
        model = os.environ.get(f"LOCALROUTER_LIVE_{vendor.slug.upper().replace('-', '_')}", MODELS.get(vendor.slug))
        reason = f"{vendor.name}: {vendor.environment} is not set"
        skip = pytest.mark.skipif(not os.environ.get(vendor.environment), reason=reason)
        yield pytest.param(vendor.slug, model, id=vendor.slug, marks=[skip])


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Running]:
    home: Path = tmp_path_factory.mktemp("home")
    with processes.localrouter(home) as running:
        yield running


@pytest.mark.parametrize(("vendor", "model"), list(cases()))
def test_a_real_vendor_lists_answers_and_streams(router: processes.Running, vendor: str, model: str | None) -> None:
    assert model is not None, f"name a model of {vendor} in LOCALROUTER_LIVE_{vendor.upper()}"
    known = [provider["slug"] for provider in router.admin("providers")["items"]]
    if vendor not in known:
        router.admin("providers", {"slug": vendor, "vendor": vendor})
    key = router.admin("keys", {"name": f"live-{vendor}", "target": {"model": f"{vendor}/{model}"}})["key"]
    with openai.OpenAI(base_url=router.url + "/v1", api_key=key, max_retries=0, timeout=60) as client:
        processes.wait(lambda: f"{vendor}/{model}" in [listed.id for listed in client.models.list()], 30)
        message = {"role": "user", "content": "Say hello in one short sentence."}
        whole = client.chat.completions.create(model=f"{vendor}/{model}", messages=[message], max_tokens=30)
        assert whole.choices[0].message.content
        assert whole.usage is not None
        assert whole.usage.completion_tokens > 0
        chunks = list(
            client.chat.completions.create(
                model=f"{vendor}/{model}",
                messages=[message],
                max_tokens=30,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert chunks[-1].usage is not None
