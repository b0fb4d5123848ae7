"""The official OpenAI SDK, unchanged, against a running LocalRouter."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from tests.support.system import System, Wall, until

HELLO: list[Any] = [{"role": "user", "content": "Say hello."}]


Sdk = Callable[[str], openai.OpenAI]


@pytest.fixture
def sdk(system: System) -> Iterator[Sdk]:
    """Makes SDK clients by key and closes them afterwards."""
    with contextlib.ExitStack() as opened:
        yield lambda key: opened.enter_context(openai.OpenAI(base_url=f"{system.url}/v1", api_key=key, max_retries=0))


@pytest.fixture
def key(system: System, vendor: Wall) -> str:
    return system.key(target={"model": "wall/small"}, name=f"sdk-{uuid.uuid4()}")


def test_chat(sdk: Sdk, key: str) -> None:
    answer = sdk(key).chat.completions.create(model="auto", messages=HELLO)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_a_stream_with_usage(sdk: Sdk, key: str) -> None:
    client = sdk(key)
    stream = client.chat.completions.create(
        model="auto", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].usage is not None
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


def test_a_stream_without_usage_shows_none(sdk: Sdk, key: str) -> None:
    chunks = list(sdk(key).chat.completions.create(model="auto", messages=HELLO, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_completions(sdk: Sdk, key: str) -> None:
    answer = sdk(key).completions.create(model="wall/small", prompt="Once")
    assert answer.choices[0].text


def test_models_are_those_the_key_reaches(sdk: Sdk, system: System, vendor: Wall) -> None:
    wide = system.key(target={"model": "wall/small"}, allowed=["wall/*"], name=f"wide-{uuid.uuid4()}")
    listed = [model.id for model in sdk(wide).models.list()]
    assert {"wall/small", "wall/large"} <= set(listed)
    assert sdk(wide).models.retrieve("wall/large").id == "wall/large"


def test_a_wired_in_name_reaches_the_keys_target(sdk: Sdk, key: str) -> None:
    answer = sdk(key).chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
    assert answer.headers["x-localrouter-model"] == "wall/small"


def test_the_errors_are_the_sdks_own(sdk: Sdk, system: System, vendor: Wall) -> None:
    made = system.create("keys", target={"model": "wall/small"}, name=f"off-{uuid.uuid4()}")
    with pytest.raises(openai.AuthenticationError):
        sdk("lr-wrong").chat.completions.create(model="auto", messages=HELLO)
    with pytest.raises(openai.NotFoundError):
        sdk(made["key"]).chat.completions.create(model="nope/none", messages=HELLO)
    system.http.patch(f"/keys/{made['id']}", json={"enabled": False}).raise_for_status()

    def refused() -> bool:
        try:
            sdk(made["key"]).models.list()
        except openai.PermissionDeniedError:
            return True
        return False

    until(refused, "the disabled key is refused", 1.0)
    with pytest.raises(openai.PermissionDeniedError):
        sdk(made["key"]).chat.completions.create(model="auto", messages=HELLO)


def test_the_ledger_equals_what_the_sdk_saw_to_the_token(sdk: Sdk, system: System, vendor: Wall) -> None:
    name = f"counted-{uuid.uuid4()}"
    client = sdk(system.key(target={"model": "wall/small"}, name=name))
    seen = {"input": 0, "output": 0}
    for number in range(5):
        whole = client.chat.completions.create(model="auto", messages=HELLO * (number + 1)).usage
        stream = client.chat.completions.create(
            model="auto", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        *_, last = stream
        for usage in (whole, last.usage):
            assert usage is not None
            cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
            seen["input"] += usage.prompt_tokens - (cached or 0)
            seen["output"] += usage.completion_tokens

    def counted() -> dict[str, Any] | None:
        totals = system.command("usage", "--key", name)["totals"]
        return totals if totals["requests"] >= 10 else None

    totals = until(counted, "ten requests in the ledger")
    assert totals["requests"] == 10
    assert {name: totals["tokens"][name] for name in seen} == seen
