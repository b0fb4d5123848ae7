"""What a choice is made from: the conversation that a model holds, requests in flight, and positions of the log."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway.domain.affinity import Conversations, conversation_of
from shared.contracts.config import Strategy
from shared.contracts.frames import Completion, Frame
from shared.contracts.usage import Tokens
from shared.log.port import LR_CONFIG, LR_HEALTH
from tests.support.gateway import ScriptedVendor, World, answer, failed, model

CHAT = "/v1/chat/completions"
GPT, LLAMA = model("openai", "gpt-4o"), model("groq", "llama")


def says(*turns: str) -> dict[str, Any]:
    """A chat of which every second turn is the model's."""
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(turns)]
    return {"model": "auto", "messages": [{"role": "system", "content": "Be brief."}, *messages]}


@pytest.fixture
async def held(world: World, client: httpx.AsyncClient) -> dict[str, str]:
    """A conversation that the second model holds, because the first failed at its beginning."""
    await world.publish(GPT, LLAMA, affinity=True)
    _, auth = await world.key(client)
    world.vendor.says(GPT.id, failed("rate_limited", http_status=429))
    got = await client.post(CHAT, json=says("Hello"), headers=auth)
    assert got.headers["x-localrouter-model"] == LLAMA.id
    return auth


async def test_a_conversation_stays_with_the_model_that_answered_it_last(
    world: World, client: httpx.AsyncClient, held: dict[str, str]
) -> None:
    on = await client.post(CHAT, json=says("Hello", "Hello.", "And now?"), headers=held)
    assert on.headers["x-localrouter-model"] == LLAMA.id
    assert on.headers["x-localrouter-reason"].startswith("affinity: it holds this conversation; given: ")
    other = await client.post(CHAT, json=says("Good morning"), headers=held)
    assert other.headers["x-localrouter-model"] == GPT.id
    assert "affinity" not in other.headers["x-localrouter-reason"]
    assert [record.held for record in await world.records()] == [None, LLAMA.id, None]


async def test_a_conversation_leaves_a_model_that_is_not_well(
    world: World, client: httpx.AsyncClient, held: dict[str, str]
) -> None:
    await world.health(client, "groq", health="degraded")
    on = await client.post(CHAT, json=says("Hello", "Hello.", "And now?"), headers=held)
    assert on.headers["x-localrouter-model"] == GPT.id
    await world.health(client, "groq", health="healthy")
    again = await client.post(CHAT, json=says("Hello", "Hello.", "And now?", "Yes.", "Well?"), headers=held)
    assert again.headers["x-localrouter-model"] == GPT.id, "it answered last"


async def test_another_key_s_conversation_is_another_one(
    world: World, client: httpx.AsyncClient, held: dict[str, str]
) -> None:
    _, auth = await world.key(client)
    got = await client.post(CHAT, json=says("Hello"), headers=auth)
    assert got.headers["x-localrouter-model"] == GPT.id


async def test_without_affinity_the_plan_s_order_stands(world: World, client: httpx.AsyncClient) -> None:
    _, auth = await world.key(client)
    world.vendor.says(GPT.id, failed("rate_limited", http_status=429))
    for turns in (("Hello",), ("Hello", "Hello.", "And now?")):
        got = await client.post(CHAT, json=says(*turns), headers=auth)
    assert got.headers["x-localrouter-model"] == GPT.id


async def test_the_least_busy_of_equals_answers_and_the_record_says_what_was_in_flight(
    world: World, client: httpx.AsyncClient
) -> None:
    await world.publish(GPT, LLAMA, then=(Strategy("least_busy"),))
    _, auth = await world.key(client)
    busy, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        busy.set()
        await go_on.wait()

    for name in (GPT.id, LLAMA.id):
        world.vendor.says(name, wait, *answer())
    first = asyncio.create_task(client.post(CHAT, json=says("Hello"), headers=auth))
    await busy.wait()
    go_on_second = asyncio.create_task(client.post(CHAT, json=says("Hello"), headers=auth))
    while len(world.vendor.asked) < 2:  # noqa: ASYNC110  a scripted vendor tells nobody
        await asyncio.sleep(0)
    go_on.set()
    models = [(await got).headers["x-localrouter-model"] for got in (first, go_on_second)]
    assert sorted(models) == sorted((GPT.id, LLAMA.id))
    records = {record.model: record.busy for record in await world.records()}
    assert records == {models[0]: {}, models[1]: {models[0]: 1}}


async def test_weighted_goes_by_the_request_s_id(world: World, client: httpx.AsyncClient) -> None:
    weights = {GPT.id: 1.0, LLAMA.id: 0.0}
    await world.publish(LLAMA, GPT, then=(Strategy("weighted", weights=weights),))
    _, auth = await world.key(client)
    answers = [await client.post(CHAT, json=says("Hello"), headers=auth) for _ in range(5)]
    assert {got.headers["x-localrouter-model"] for got in answers} == {GPT.id}


async def test_a_record_names_the_positions_its_choice_was_made_at(world: World, client: httpx.AsyncClient) -> None:
    _, auth = await world.key(client)
    await world.health(client, "groq", health="healthy")
    await client.post(CHAT, json=says("Hello"), headers=auth)
    [record] = await world.records()
    assert record.inputs[LR_HEALTH] == 1
    assert 0 < record.inputs[LR_CONFIG] <= (await world.log.position(LR_CONFIG)).sequence


SYSTEM = "You are terse."


@pytest.mark.parametrize(
    ("dialect", "begins", "goes_on"),
    [
        ("openai_chat", says("Hi"), says("Hi", "Ho", "Hm")),
        (
            "openai_responses",
            {"instructions": SYSTEM, "input": "Hi"},
            {"instructions": SYSTEM, "input": "Hi", "temperature": 0},
        ),
        (
            "openai_responses",
            {"instructions": SYSTEM, "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]},
            {
                "instructions": SYSTEM,
                "input": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}],
            },
        ),
        (
            "anthropic_messages",
            {
                "system": [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
                "messages": [{"role": "user", "content": "Hi"}],
            },
            {
                "system": SYSTEM,
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}],
                    },
                    {"role": "assistant", "content": "Ho"},
                ],
            },
        ),
        ("ollama_chat", says("Hi"), says("Hi", "Ho", "Hm")),
        ("ollama_generate", {"prompt": "a" * 2_000}, {"prompt": "a" * 2_000 + "b"}),
        ("openai_completions", {"prompt": "a" * 2_000}, {"prompt": "a" * 2_000 + "b"}),
    ],
)
def test_a_conversation_is_known_by_its_beginning_in_every_dialect(
    dialect: str, begins: dict[str, Any], goes_on: dict[str, Any]
) -> None:
    known = conversation_of(begins, dialect, "key", "router")
    assert known is not None
    assert conversation_of(goes_on, dialect, "key", "router") == known
    assert conversation_of(begins, dialect, "other", "router") != known
    assert conversation_of(begins, dialect, "key", "other") != known


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai_embeddings", {"input": "Hi"}),
        ("openai_completions", {"prompt": "short"}),
        ("openai_completions", {"prompt": [1, 2]}),
        ("openai_chat", {"messages": "none"}),
        ("openai_responses", {}),
    ],
)
def test_what_begins_like_anything_is_no_conversation(dialect: str, body: dict[str, Any]) -> None:
    assert conversation_of(body, dialect, "key", "router") is None


def test_a_conversation_is_forgotten_after_its_time_and_when_there_are_too_many() -> None:
    conversations = Conversations(ttl_s=10, most=2)
    for place, name in enumerate((b"a", b"b", b"c")):
        conversations.answered(name, "m/x", float(place))
    assert [conversations.holder(name, 3.0) for name in (b"a", b"b", b"c")] == [None, "m/x", "m/x"]
    assert conversations.holder(b"b", 11.1) is None
    assert conversations.holder(b"c", 11.9) == "m/x"


class PromptCache(ScriptedVendor):
    """A vendor whose models each keep what they have read: a prompt costs less as far as its model knows it."""

    def __init__(self) -> None:
        super().__init__()
        self._known: set[tuple[str, str]] = set()

    async def complete(self, request: Completion) -> AsyncGenerator[Frame, None]:
        read = known = 0
        prefix = ""
        for message in request.body["messages"]:
            prefix += f"{message['role']}: {message['content']}\n"
            tokens = len(message["content"].split())
            read += tokens
            if (request.model, prefix) in self._known:
                known = read
            self._known.add((request.model, prefix))
        for frame in answer(tokens=Tokens(input=read - known, cached=known, output=1, source="provider")):
            yield frame


async def cached_share(folder: Path, *, affinity: bool) -> float:
    """Replay conversations of many turns at a router that spreads its requests; return how much came from a cache."""
    world = World(folder)
    world.vendor = PromptCache()
    await world.start()
    models = [model("vendor", name) for name in ("a", "b", "c")]
    await world.publish(*models, then=(Strategy("weighted"),), affinity=affinity)
    async with world.client() as client:
        _, auth = await world.key(client)
        for conversation in range(8):
            turns: list[str] = []
            for turn in range(8):
                turns += [f"question {turn} of conversation {conversation} " * 20]
                got = await client.post(CHAT, json=says(*turns), headers=auth)
                turns += [got.json()["choices"][0]["message"]["content"]]
    records = await world.records()
    assert len({record.model for record in records}) > 1, "conversations are spread"
    cached = sum(record.tokens.cached for record in records)
    return cached / sum(record.tokens.cached + record.tokens.input for record in records)


async def test_with_affinity_more_of_a_conversation_comes_from_the_cache(tmp_path: Path) -> None:
    with_it = await cached_share(tmp_path / "with", affinity=True)
    without = await cached_share(tmp_path / "without", affinity=False)
    assert with_it > 0.7
    assert with_it > without + 0.15


async def test_a_change_of_health_is_a_changed_decision_as_soon_as_it_is_heard(
    world: World, client: httpx.AsyncClient
) -> None:
    _, auth = await world.key(client)
    for said, decided in (
        ({"health": "unhealthy"}, LLAMA.id),
        ({"health": "healthy"}, GPT.id),
        ({"health": "degraded"}, LLAMA.id),
        ({"health": "healthy", "breaker": "open"}, LLAMA.id),
        ({"health": "healthy"}, GPT.id),
    ):
        await world.health(client, "openai", **said)
        got = await client.post(CHAT, json=says("Hello"), headers=auth)
        assert got.headers["x-localrouter-model"] == decided
