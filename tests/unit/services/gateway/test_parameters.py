"""What a vendor cannot take, through the whole gateway: refused by the client's own name of it, or dropped by it."""

from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from services.providers.domain.dialect import Outgoing
from services.providers.domain.registry import VENDORS
from services.providers.domain.translate import translated
from shared.contracts.frames import Completion, Data, Fail, Frame, Head
from shared.testing import upstream_dialects
from shared.testing.upstream_behaviour import Behaviour
from tests.support.gateway import ScriptedVendor, World, model

SAID = [{"role": "user", "content": "Hello"}]
TOOL = {"name": "f", "input_schema": {"type": "object"}}
OF_RESPONSES = {"type": "function", "name": "f", "parameters": {"type": "object"}}


class Case(NamedTuple):
    """A request in one dialect, whose vendor does not take ``param``."""

    path: str
    vendor: str
    body: dict[str, Any]
    param: str


CASES = [
    Case("/v1/chat/completions", "gemini", {"messages": SAID, "logit_bias": {"1": 5}}, "logit_bias"),
    Case("/v1/completions", "anthropic", {"prompt": "Once", "seed": 7}, "seed"),
    Case("/v1/responses", "ollama", {"input": "Hi", "tools": [OF_RESPONSES], "tool_choice": "required"}, "tool_choice"),
    Case("/v1/messages", "ollama", {"messages": SAID, "max_tokens": 9, "tools": [TOOL], "tool_choice": {"type": "any"}},
         "tool_choice"),
    Case("/api/chat", "anthropic", {"messages": SAID, "options": {"seed": 7}}, "options.seed"),
    Case("/api/generate", "anthropic", {"prompt": "Once", "options": {"min_p": 0.1}}, "options.min_p"),
]  # fmt: skip
IDS = [case.path for case in CASES]


class TranslatingVendor(ScriptedVendor):
    """Vendors that are asked in their own dialects, and answer in them."""

    vendor = "gemini"

    async def complete(self, request: Completion) -> AsyncGenerator[Frame, None]:
        self.asked.append(request)
        out = translated(request, VENDORS[self.vendor], 0)
        if isinstance(out, Fail):
            yield out
            return
        assert isinstance(out, Outgoing)
        kind = out.stream_type if request.stream else "application/json"
        yield Head(status=200, content_type=kind, dropped_params=out.dropped)
        asked = upstream_dialects.asked(out.path.partition("?")[0], {**out.body, "stream": request.stream})
        assert asked is not None
        answer = upstream_dialects.streamed if request.stream else upstream_dialects.whole
        steps = answer(asked, Behaviour(text="Hello there."), 1).steps
        raw = b"".join(step.payload for step in steps)
        if not request.stream:
            for frame in out.whole(raw):
                yield frame
            return
        reader = out.reader()
        for frame in [*reader.feed(raw), *reader.finish()]:
            yield frame
            if not isinstance(frame, Data):
                return


@pytest.fixture
def vendor(world: World) -> TranslatingVendor:
    assert isinstance(world.vendor, TranslatingVendor)
    return world.vendor


@pytest.fixture
async def world(tmp_path: Any) -> Any:
    made = World(tmp_path)
    made.vendor = TranslatingVendor()
    await made.start()
    await made.publish(model("openai", "gpt-4o"))
    yield made
    await made.stop()


@pytest.mark.parametrize("case", CASES, ids=IDS)
async def test_a_refusal_is_a_400_that_names_the_clients_parameter(world, client, vendor, case):
    vendor.vendor = case.vendor
    _, auth = await world.key(client, target={"model": "openai/gpt-4o"})
    got = await client.post(case.path, json={"model": "auto", "stream": False, **case.body}, headers=auth)
    assert got.status_code == 400, got.text
    error = got.json()["error"]
    assert case.param in (error if isinstance(error, str) else error["message"])
    if "/v1/messages" not in case.path and isinstance(error, dict):
        assert error["param"] == case.param
    assert "x-localrouter-dropped-params" not in got.headers
    assert len(vendor.asked) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["answer", "stream"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
async def test_what_is_dropped_is_named_in_a_header(world, client, vendor, case, stream):
    vendor.vendor = case.vendor
    _, auth = await world.key(client, target={"model": "openai/gpt-4o"}, policies={"drop_params": True})
    got = await client.post(case.path, json={"model": "auto", "stream": stream, **case.body}, headers=auth)
    assert got.status_code == 200, got.text
    assert got.headers["x-localrouter-dropped-params"] == case.param
    assert "Hello" in got.text
    assert vendor.asked[0].drop_params


async def test_what_changes_nothing_is_dropped_unasked_and_named_too(world, client, vendor):
    _, auth = await world.key(client, target={"model": "openai/gpt-4o"})
    body = {"model": "auto", "messages": SAID, "user": "u-1", "metadata": {"a": "b"}, "store": True}
    got: httpx.Response = await client.post("/v1/chat/completions", json=body, headers=auth)
    assert got.status_code == 200
    assert set(got.headers["x-localrouter-dropped-params"].split(",")) == {"user", "metadata", "store"}
    assert msgspec.json.decode(got.content)["choices"][0]["message"]["content"] == "Hello there."
