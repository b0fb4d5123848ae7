"""The wall speaks each family so that its own official SDK understands it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anthropic
import ollama
import openai
import pytest

from shared.testing import upstream_behaviour as does
from shared.testing.upstream import Upstream
from tests.support.recordings import streams

TOOL = does.ToolCall(name="add", arguments='{"a": 1, "b": 2}')
ANSWER = does.answer("hello big world", reasoning="let me think", tool_calls=(TOOL,))
HI: list[Any] = [{"role": "user", "content": "hi there"}]


@pytest.fixture
async def wall() -> AsyncIterator[Upstream]:
    async with Upstream(api_key="secret") as wall:
        yield wall


@pytest.fixture
async def gpt(wall: Upstream) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{wall.url}/v1", api_key="secret", max_retries=0) as made:
        yield made


@pytest.fixture
async def claude(wall: Upstream) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=wall.url, api_key="secret", max_retries=0) as made:
        yield made


@pytest.fixture
async def llama(wall: Upstream) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(wall.url, headers={"authorization": "Bearer secret"}) as made:
        yield made


async def test_responses(wall: Upstream, gpt: openai.AsyncOpenAI) -> None:
    wall.script("*", ANSWER, repeat=True)
    whole = await gpt.responses.create(model="small", input="hi there")
    assert (whole.output_text, [item.type for item in whole.output]) == (
        "hello big world",
        ["reasoning", "message", "function_call"],
    )
    async with gpt.responses.stream(model="small", input="hi there") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))  # pyright: ignore[reportAttributeAccessIssue]
    assert final.output_text == whole.output_text
    assert final.usage == whole.usage
    assert whole.usage is not None
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (2, 10)


async def test_messages(wall: Upstream, claude: anthropic.AsyncAnthropic) -> None:
    wall.script("*", ANSWER, repeat=True)
    whole = await claude.messages.create(model="small", max_tokens=9, messages=HI)
    async with claude.messages.stream(model="small", max_tokens=9, messages=HI) as stream:
        final = await stream.get_final_message()
    assert [block.model_dump() for block in final.content] == [block.model_dump() for block in whole.content]
    assert [block.type for block in whole.content] == ["thinking", "text", "tool_use"]
    assert whole.stop_reason == final.stop_reason == "tool_use"
    assert (final.usage.input_tokens, final.usage.output_tokens) == (2, 10)
    assert (await claude.messages.count_tokens(model="small", messages=HI)).input_tokens == 2
    assert [item.id async for item in claude.models.list()] == ["small", "large"]


async def test_ollama(wall: Upstream, llama: ollama.AsyncClient) -> None:
    wall.script("*", ANSWER, repeat=True)
    whole = await llama.chat("small", messages=HI)
    assert (whole.message.content, whole.message.thinking) == ("hello big world", "let me think")
    assert whole.message.tool_calls is not None
    assert whole.message.tool_calls[0].function.arguments == {"a": 1, "b": 2}
    streamed = [chunk async for chunk in await llama.generate("small", prompt="hi there", stream=True)]
    assert "".join(chunk.response for chunk in streamed) == "hello big world"
    assert (streamed[-1].prompt_eval_count, streamed[-1].done) == (2, True)


async def test_vectors_are_the_same_in_every_family(
    wall: Upstream, gpt: openai.AsyncOpenAI, llama: ollama.AsyncClient
) -> None:
    one = (await gpt.embeddings.create(model="small", input=["a", "b c"])).data  # the SDK asks for base64
    plain = (await gpt.embeddings.create(model="small", input=["a", "b c"], encoding_format="float")).data
    other = (await llama.embed("small", input=["a", "b c"])).embeddings
    requests = [{"model": "models/small", "content": {"parts": [{"text": text}]}} for text in ("a", "b c")]
    _, third = await gemini(wall, "small:batchEmbedContents", {"requests": requests})
    assert [item.embedding for item in one] == [item.embedding for item in plain] == [list(item) for item in other]
    assert [item["values"] for item in third["embeddings"]] == [item.embedding for item in one]


async def gemini(wall: Upstream, what: str, body: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession(headers={"x-goog-api-key": "secret"}) as http:
        asked = http.post(f"{wall.url}/v1beta/models/{what}", json=body) if body else http.get(f"{wall.url}{what}")
        async with asked as got:
            raw = await got.read()
    if raw.startswith(b"data: "):
        return got.status, [json.loads(line.removeprefix(b"data: ")) for line in raw.split(b"\n\n") if line]
    return got.status, json.loads(raw)


async def test_gemini(wall: Upstream) -> None:
    wall.script("*", ANSWER, ANSWER)
    body = {"contents": [{"role": "user", "parts": [{"text": "hi there"}]}]}
    _, whole = await gemini(wall, "small:generateContent", body)
    parts = whole["candidates"][0]["content"]["parts"]
    assert [sorted(part) for part in parts] == [["text", "thought"], ["text"], ["functionCall", "thoughtSignature"]]
    assert whole["usageMetadata"]["totalTokenCount"] == 12
    _, stream = await gemini(wall, "small:streamGenerateContent?alt=sse", body)
    texts = [chunk["candidates"][0]["content"]["parts"][0].get("text", "") for chunk in stream]
    assert "".join(texts) == "let me thinkhello big world"
    assert stream[-1]["candidates"][0]["finishReason"] == "STOP"
    assert stream[-1]["usageMetadata"] == whole["usageMetadata"]
    assert (await gemini(wall, "small:countTokens", body))[1] == {"totalTokens": 2}
    assert [item["name"] for item in (await gemini(wall, "/v1beta/models", None))[1]["models"]] == [
        "models/small",
        "models/large",
    ]
    wall.script("small", does.rate_limited())
    assert await gemini(wall, "small:generateContent", body) == (
        429,
        {"error": {"code": 429, "message": "Rate limit reached for requests", "status": "RESOURCE_EXHAUSTED"}},
    )


async def cohere(wall: Upstream, path: str, body: Any = None) -> tuple[int, Any]:
    async with aiohttp.ClientSession(headers={"authorization": "Bearer secret"}) as http:
        asked = http.post(f"{wall.url}{path}", json=body) if body else http.get(f"{wall.url}{path}")
        async with asked as got:
            raw = (await got.read()).decode()
    return got.status, events(raw) if raw.startswith("event: ") else json.loads(raw)


def events(raw: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in raw.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


async def test_cohere(wall: Upstream) -> None:
    wall.script("*", ANSWER, ANSWER)
    body = {"model": "small", "messages": HI, "stream": False}
    _, whole = await cohere(wall, "/v2/chat", body)
    assert [block["type"] for block in whole["message"]["content"]] == ["thinking", "text"]
    assert whole["message"]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": 1, "b": 2}'}
    assert (whole["finish_reason"], whole["usage"]["billed_units"]) == (
        "TOOL_CALL",
        {"input_tokens": 2, "output_tokens": 10},
    )
    _, stream = await cohere(wall, "/v2/chat", body | {"stream": True})
    said = [event["delta"]["message"] for event in stream if event["type"] == "content-delta"]
    assert "".join(part["content"].get("thinking", "") for part in said) == "let me think"
    assert "".join(part["content"].get("text", "") for part in said) == "hello big world"
    assert stream[-1]["delta"] == {"finish_reason": "TOOL_CALL", "usage": whole["usage"]}
    _, vectors = await cohere(wall, "/v2/embed", {"model": "small", "texts": ["a", "b c"]})
    assert len(vectors["embeddings"]["float"]) == 2
    assert vectors["meta"]["billed_units"] == {"input_tokens": 3}
    listed = (await cohere(wall, "/v1/models?page_size=1000"))[1]["models"]
    assert [item["name"] for item in listed] == ["small", "large"]
    wall.script("small", does.rate_limited())
    assert await cohere(wall, "/v2/chat", body) == (
        429,
        {"id": "wall-error", "message": "Rate limit reached for requests"},
    )


async def test_coheres_events_are_shaped_like_recorded_ones(wall: Upstream) -> None:
    seen = {shape(event) for _, raw in streams("cohere-chat") for event in events(raw.decode()) if "type" in event}
    wall.script("*", does.answer("hello big world", tool_calls=(TOOL,)))
    _, stream = await cohere(wall, "/v2/chat", {"model": "small", "messages": HI, "stream": True})
    assert {shape(event) for event in stream} <= seen


def shape(value: Any) -> str:
    """Return the names in an event, and which kind of event it is."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}={v if k == 'type' else shape(v)}" for k, v in sorted(value.items())) + "}"
    return type(value).__name__


async def test_errors_are_each_sdks_own(
    wall: Upstream, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic, llama: ollama.AsyncClient
) -> None:
    wall.script("*", does.rate_limited(), repeat=True)
    with pytest.raises(openai.RateLimitError):
        await gpt.responses.create(model="small", input="hi")
    with pytest.raises(anthropic.RateLimitError):
        await claude.messages.create(model="small", max_tokens=9, messages=HI)
    with pytest.raises(ollama.ResponseError):
        await llama.chat("small", messages=HI)
    wall.script("small", does.Behaviour(fault="error", error=does.ErrorBody(message="Overloaded")))
    with pytest.raises(anthropic.APIStatusError):
        async with claude.messages.stream(model="small", max_tokens=9, messages=HI) as stream:
            await stream.get_final_message()
    claude.api_key = "wrong"
    with pytest.raises(anthropic.AuthenticationError):
        await claude.messages.create(model="small", max_tokens=9, messages=HI)
