"""A stream that breaks after content, by what its router says: an error, another model that goes on, or held whole."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from services.gateway.api import answers
from shared.contracts.config import Fallback
from shared.contracts.frames import Data, Frame, Head, Partial, Tail
from shared.contracts.usage import Tokens
from tests.support.gateway import USED, World, answer, failed, model

CHAT = "/v1/chat/completions"
HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
GPT, LLAMA, CLAUDE = model("openai", "gpt"), model("groq", "llama"), model("anthropic", "claude", prefill=True)
HEAD = Head(status=200, content_type="text/event-stream")
USED_UP = Tokens(input=9, output=4, source="partial")


def words(text: str) -> Data:
    payload = msgspec.json.encode({"choices": [{"delta": {"content": text}}]})
    return Data(b"data: " + payload + b"\n\n", content=True)


def cut(kind: str = "cut", text: str = "One ", **partial: Any) -> list[Frame]:
    """An answer that breaks after its first words."""
    told = failed(kind, tokens=msgspec.to_builtins(USED_UP))
    return [HEAD, words(text), msgspec.structs.replace(told, partial=Partial(text=text, **partial))]


def rest(text: str = "two.") -> list[Frame]:
    return [HEAD, words(text), Tail(tokens=USED, closing=b"data: [DONE]\n\n")]


def said(got: httpx.Response) -> list[Any]:
    """The events of a stream, its texts joined."""
    events = [line[6:] for line in got.text.splitlines() if line.startswith("data: ")]
    decoded = [event if event == "[DONE]" else msgspec.json.decode(event) for event in events]
    texts = [event["choices"][0]["delta"]["content"] for event in decoded if event != "[DONE]" and "choices" in event]
    return ["".join(texts), *(event for event in decoded if event == "[DONE]" or "choices" not in event)]


async def asked(world: World, client: httpx.AsyncClient, on_cut: str, *models: Any, **router: Any) -> httpx.Response:
    await world.publish(*models, on_cut=on_cut, **router)
    _, auth = await world.key(client)
    return await client.post(CHAT, json=HELLO, headers=auth)


async def test_another_model_goes_on_in_the_same_stream_and_both_are_billed(
    world: World, client: httpx.AsyncClient
) -> None:
    world.vendor.says(GPT.id, *cut())
    world.vendor.says(CLAUDE.id, *rest())
    got = await asked(world, client, "continue", GPT, LLAMA, CLAUDE)
    assert said(got) == ["One two.", "[DONE]"]
    first, second = world.vendor.asked
    assert (first.model, first.keep_partial, first.resume) == (GPT.id, True, None)
    assert (second.model, second.keep_partial, second.resume) == (CLAUDE.id, False, Partial(text="One "))
    [record] = await world.records()
    assert (record.status, record.model) == ("succeeded", CLAUDE.id)
    assert [(item.outcome, item.tokens, item.resumed) for item in record.attempts] == [
        ("cut", USED_UP, False),
        ("succeeded", USED, True),
    ]
    assert record.tokens.output == USED_UP.output + USED.output
    assert record.cost == sum(item.cost or 0 for item in record.attempts)


@pytest.mark.parametrize("kind", ["timeout", "malformed", "server_error", "overloaded"])
async def test_however_it_broke_it_is_gone_on_with(world: World, client: httpx.AsyncClient, kind: str) -> None:
    world.vendor.says(GPT.id, *cut(kind))
    world.vendor.says(CLAUDE.id, *rest())
    assert said(await asked(world, client, "continue", GPT, CLAUDE)) == ["One two.", "[DONE]"]


async def test_it_is_gone_on_with_again_where_that_breaks_too(world: World, client: httpx.AsyncClient) -> None:
    more = model("mistral", "large", prefill=True)
    world.vendor.says(GPT.id, *cut())
    world.vendor.says(CLAUDE.id, *cut(text="two "))
    world.vendor.says(more.id, *rest("three."))
    assert said(await asked(world, client, "continue", GPT, CLAUDE, more)) == ["One two three.", "[DONE]"]
    assert [item.resume and item.resume.text for item in world.vendor.asked] == [None, "One ", "two "]


async def test_who_fails_before_going_on_leaves_it_to_the_next(world: World, client: httpx.AsyncClient) -> None:
    more = model("mistral", "large", prefill=True)
    world.vendor.says(GPT.id, *cut())
    world.vendor.says(CLAUDE.id, failed("overloaded"))
    world.vendor.says(more.id, *rest())
    assert said(await asked(world, client, "continue", GPT, CLAUDE, more)) == ["One two.", "[DONE]"]


@pytest.mark.parametrize(
    ("models", "breaks", "tried"),
    [
        ((GPT, LLAMA), cut(), 1),
        ((GPT, CLAUDE), cut(tool_calls=True), 1),
        ((GPT, CLAUDE), cut("content_policy"), 1),
        ((GPT, CLAUDE), [*cut()[:2], failed("cut")], 1),
        ((CLAUDE,), cut(), 1),
    ],
    ids=["nobody takes a prefill", "a tool call was shown", "the vendor's own refusal", "nothing kept", "alone"],
)
async def test_what_nobody_can_go_on_with_ends_in_one_clean_error(
    world: World, client: httpx.AsyncClient, models: tuple[Any, ...], breaks: list[Frame], tried: int
) -> None:
    world.vendor.says(models[0].id, *breaks)
    text, error = said(await asked(world, client, "continue", *models))
    assert text == "One "
    assert set(error) == {"error"}
    assert len(world.vendor.asked) == tried
    assert [record.status for record in await world.records()] == ["failed"]


async def test_who_refuses_to_go_on_ends_it_in_one_clean_error(world: World, client: httpx.AsyncClient) -> None:
    world.vendor.says(GPT.id, *cut())
    world.vendor.says(CLAUDE.id, failed("invalid_request", http_status=400, code="no_prefill"))
    text, error = said(await asked(world, client, "continue", GPT, CLAUDE))
    assert (text, error["error"]["code"]) == ("One ", "all_attempts_failed")
    [record] = await world.records()
    assert [item.outcome for item in record.attempts] == ["cut", "invalid_request"]


async def test_attempts_are_within_bounds_also_when_going_on(world: World, client: httpx.AsyncClient) -> None:
    more = [model("m", str(number), prefill=True) for number in range(5)]
    for item in more:
        world.vendor.says(item.id, *cut())
    _, error = said(await asked(world, client, "continue", *more, fallback=Fallback(max_attempts=3)))
    assert len(world.vendor.asked) == 3
    assert set(error) == {"error"}


async def test_a_held_stream_that_breaks_is_asked_for_again_and_shown_whole(
    world: World, client: httpx.AsyncClient
) -> None:
    world.vendor.says(GPT.id, *cut("timeout"))
    world.vendor.says(LLAMA.id, *rest("One two."))
    got = await asked(world, client, "buffer", GPT, LLAMA)
    assert said(got) == ["One two.", "[DONE]"]
    assert got.headers["x-localrouter-model"] == LLAMA.id
    assert got.headers["x-localrouter-attempts"] == "2"
    assert not world.vendor.asked[0].keep_partial
    [record] = await world.records()
    assert [(item.outcome, item.tokens.source) for item in record.attempts] == [
        ("timeout", "partial"),
        ("succeeded", "provider"),
    ]


async def test_a_held_stream_that_nobody_ends_is_a_plain_error(world: World, client: httpx.AsyncClient) -> None:
    for item in (GPT, LLAMA):
        world.vendor.says(item.id, *cut("timeout"))
    got = await asked(world, client, "buffer", GPT, LLAMA)
    assert (got.status_code, got.json()["error"]["code"]) == (504, "upstream_timeout")


@pytest.mark.parametrize("ends", [True, False])
async def test_a_client_that_waits_for_a_held_stream_hears_comments(
    world: World, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    monkeypatch.setattr(answers, "PING_S", 0.01)
    last = rest("One two.") if ends else [failed("server_error"), failed("server_error")]
    world.vendor.says(GPT.id, HEAD, words("One "), lambda: asyncio.sleep(0.1), *last)
    world.vendor.says(GPT.id, failed("invalid_request"))
    got = await asked(world, client, "buffer", GPT)
    assert got.status_code == 200
    assert got.text.startswith(": still waiting\n\n: still waiting\n\n")
    assert "x-localrouter-model" not in got.headers
    assert said(got)[-1] == "[DONE]" if ends else set(said(got)[-1]) == {"error"}
    assert got.text.count("still waiting") >= 2


async def test_a_held_stream_that_is_too_much_is_shown_from_there_on(
    world: World, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MOST_HELD", 10)
    world.vendor.says(GPT.id, *cut())
    world.vendor.says(LLAMA.id, *rest())
    text, error = said(await asked(world, client, "buffer", GPT, LLAMA))
    assert (text, set(error)) == ("One ", {"error"})


async def test_a_whole_answer_knows_no_cut(world: World, client: httpx.AsyncClient) -> None:
    await world.publish(GPT, CLAUDE, on_cut="continue")
    _, auth = await world.key(client)
    world.vendor.says(GPT.id, *answer()[:2], failed("cut"))
    got = await client.post(CHAT, json=HELLO | {"stream": False}, headers=auth)
    assert got.status_code == 200
    assert [(item.model, item.keep_partial, item.resume) for item in world.vendor.asked] == [(GPT.id, False, None)] * 2


async def test_another_credential_is_tried_at_once_and_the_provider_is_not_left_alone(
    world: World, client: httpx.AsyncClient
) -> None:
    world.vendor.says(GPT.id, failed("rate_limited", http_status=429, retry_after_ms=60_000, rotated=True))
    got = await asked(world, client, "error", GPT, LLAMA)
    assert got.headers["x-localrouter-model"] == GPT.id
    assert [item.model for item in world.vendor.asked] == [GPT.id, GPT.id]


async def test_retries_are_a_fifth_of_a_provider_s_requests_at_most(world: World, client: httpx.AsyncClient) -> None:
    await world.publish(GPT, LLAMA, fallback=Fallback(backoff_ms=1))
    _, auth = await world.key(client)
    for _ in range(100):
        world.vendor.says(GPT.id, failed("server_error"))
    for _ in range(40):
        await client.post(CHAT, json=HELLO, headers=auth)
    tried = [item.model for item in world.vendor.asked].count(GPT.id)
    assert tried == 50, "40 requests, and the 10 retries that are allowed however few they are"
