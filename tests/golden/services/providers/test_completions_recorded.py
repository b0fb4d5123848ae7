"""Every recorded request of OpenAI's completions, put to every vendor that has chats alone, and refused by name where
a chat cannot be it; ``pytest -s`` shows the counts. What vendors answer to it is among the translations."""

from collections import Counter
from typing import Any

import pytest

from services.providers.domain.dialect import Outgoing
from services.providers.domain.registry import VENDORS
from services.providers.domain.translate import translated
from shared.contracts.frames import Completion, Fail
from tests.support.recordings import recorded

CHATS = sorted(slug for slug, vendor in VENDORS.items() if "openai_completions" not in vendor.speaks)
MODELS = {"gemini": "gemini-2.5-flash", "vertex": "gemini-2.5-flash", "anthropic": "claude-sonnet-4-5"}


def requests() -> list[tuple[str, dict[str, Any]]]:
    cases = [case for kind in ("chat", "stream") for case in recorded("openai-completions", kind)]
    return [(case["file"], case["request"]["body"]) for case in cases if isinstance(case["request"].get("body"), dict)]


@pytest.mark.parametrize("vendor", CHATS)
def test_every_recorded_completion_is_a_chat_or_refused_by_name(vendor):
    seen: Counter[str] = Counter()
    for file, body in requests():
        request = Completion(
            attempt_id="a", request_id="r", provider_id="p", native_id=MODELS.get(vendor, "m"), model="p/m",
            dialect="openai_completions", body=body, stream=body.get("stream") is True,
        )  # fmt: skip
        out = translated(request, VENDORS[vendor], 0)
        if isinstance(out, Fail):
            assert out.param is not None, file
            assert out.param.partition(".")[0] in body, (file, out)
            seen[f"refused {out.param}"] += 1
            continue
        assert isinstance(out, Outgoing), file
        assert prompt_of(body) in str(out.body), file
        seen["asked"] += 1
    print(f"\n{vendor:20} {dict(seen)}")
    assert seen["asked"] >= 8


def prompt_of(body: dict[str, Any]) -> str:
    prompt = body["prompt"]
    return repr(prompt[0] if isinstance(prompt, list) else prompt)[1:-1]
