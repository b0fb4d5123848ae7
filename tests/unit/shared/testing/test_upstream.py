"""The wall does to each attempt what it was told, and its log says so."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shared.testing import upstream_behaviour as does
from shared.testing.upstream import Upstream


@pytest.fixture
async def wall() -> AsyncIterator[Upstream]:
    async with Upstream() as wall:
        yield wall


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
        yield http


def chat(model: str = "small", *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "say hello"}], "stream": stream} | fields


async def post(http: aiohttp.ClientSession, wall: Upstream, body: Any, path: str = "/v1/chat/completions") -> Any:
    async with http.post(wall.url + path, json=body) as response:
        return response.status, {name.lower(): value for name, value in response.headers.items()}, await response.read()


def payloads(raw: bytes) -> list[Any]:
    lines = [line.removeprefix(b"data: ") for line in raw.split(b"\n\n") if line.startswith(b"data: ")]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


async def test_without_a_script_it_echoes_with_honest_usage(wall: Upstream, http: aiohttp.ClientSession) -> None:
    status, headers, raw = await post(http, wall, chat())
    body = json.loads(raw)
    assert (status, headers["x-request-id"]) == (200, "wall-0")
    assert body["choices"][0]["message"]["content"] == "echo: say hello"
    assert body["usage"]["prompt_tokens"] == 2
    assert body["usage"]["completion_tokens"] == 3
    attempt = wall.attempts[0]
    assert attempt.claimed == body["usage"]
    assert (attempt.model, attempt.body["messages"][0]["role"], attempt.status) == ("small", "user", 200)
    assert attempt.finished_at is not None


async def test_a_stream_has_role_words_finish_usage_and_done(wall: Upstream, http: aiohttp.ClientSession) -> None:
    wall.script("small", does.events(32))
    _, headers, raw = await post(http, wall, chat(stream=True, stream_options={"include_usage": True}))
    events = payloads(raw)
    assert headers["content-type"] == "text/event-stream"
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len([event for event in events[1:-1] if event["choices"] and event["choices"][0]["delta"]]) == 32
    assert events[-3]["choices"][0]["finish_reason"] == "stop"
    assert events[-2]["usage"]["completion_tokens"] == 32
    assert events[-1] == "[DONE]"
    assert (wall.attempts[0].events_sent, wall.attempts[0].claimed) == (32, events[-2]["usage"])


async def test_a_stream_that_did_not_ask_for_usage_claims_none(wall: Upstream, http: aiohttp.ClientSession) -> None:
    _, _, raw = await post(http, wall, chat(stream=True))
    assert all("usage" not in event for event in payloads(raw)[:-1])
    assert wall.attempts[0].claimed is None


async def test_scripts_are_taken_in_order_by_model_then_for_any(wall: Upstream, http: aiohttp.ClientSession) -> None:
    wall.script("small", does.server_error(), does.answer("mine"))
    wall.script("*", does.answer("anybody's"), repeat=True)
    answers = [(await post(http, wall, chat(model)))[0::2] for model in ("small", "large", "small", "small", "large")]
    assert [status for status, _ in answers] == [500, 200, 200, 200, 200]
    contents = [json.loads(raw)["choices"][0]["message"]["content"] for status, raw in answers if status == 200]
    assert contents == ["anybody's", "mine", "anybody's", "anybody's"]


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (does.rate_limited("7", retry_after_ms="7000"), 429, "rate_limit_exceeded"),
        (does.overloaded(), 503, None),
        (does.unauthorized(), 401, "invalid_api_key"),
        (does.out_of_money(), 402, "insufficient_quota"),
        (does.model_not_found(), 404, "model_not_found"),
        (does.context_too_long(), 400, "context_length_exceeded"),
        (does.content_policy(), 400, "content_policy_violation"),
    ],
)
async def test_errors_have_the_vendors_form(
    wall: Upstream, http: aiohttp.ClientSession, behaviour: does.Behaviour, status: int, code: str | None
) -> None:
    wall.script("*", behaviour, repeat=True)
    got, headers, raw = await post(http, wall, chat())
    assert (got, json.loads(raw)["error"]["code"]) == (status, code)
    if status == 429:
        assert (headers["retry-after"], headers["retry-after-ms"]) == ("7", "7000")
    _, _, raw = await post(http, wall, chat(), "/api/chat")
    assert isinstance(json.loads(raw)["error"], str)


@pytest.mark.parametrize("behaviour", [does.reset(), does.cut(None), does.cut(3), does.cut(3, by="reset")])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_cut_answer_ends_in_a_broken_connection(
    wall: Upstream, http: aiohttp.ClientSession, behaviour: does.Behaviour, stream: bool
) -> None:
    wall.script("small", behaviour)
    with pytest.raises(aiohttp.ClientError):
        await post(http, wall, chat(stream=stream))
    await wall.until(lambda: wall.attempts[0].closed_at is not None)
    assert wall.attempts[0].closed_by == "server"
    assert wall.attempts[0].finished_at is None
    if stream:
        assert wall.attempts[0].events_sent == (behaviour.after if behaviour.where == "mid_content" else 0)


async def test_half_an_event_is_half_an_event(wall: Upstream, http: aiohttp.ClientSession) -> None:
    wall.script("small", does.cut(2, by="half"))
    got = b""
    async with http.post(wall.url + "/v1/chat/completions", json=chat(stream=True)) as response:
        with contextlib.suppress(aiohttp.ClientError):
            async for part in response.content.iter_any():
                got += part
    assert not got.endswith(b"\n\n")
    assert len(payloads(got.rpartition(b"\n\n")[0] + b"\n\n")) == 3


@pytest.mark.parametrize("behaviour", [does.silence(), does.stall(None), does.stall(2)])
async def test_a_silent_vendor_is_closed_by_the_client(
    wall: Upstream, http: aiohttp.ClientSession, behaviour: does.Behaviour
) -> None:
    wall.script("small", behaviour)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await post(http, wall, chat(stream=True))
    await wall.until(lambda: wall.attempts[0].closed_at is not None)
    assert wall.attempts[0].closed_by == "client"


async def test_a_held_answer_goes_on_when_released(wall: Upstream, http: aiohttp.ClientSession) -> None:
    wall.script("small", does.hold(4))
    asking = asyncio.ensure_future(post(http, wall, chat(stream=True)))
    await wall.until(lambda: bool(wall.attempts) and wall.attempts[0].events_sent == 4)
    assert wall.attempts[0].text_sent == "w0 w1 w2 w3"
    wall.release()
    assert payloads((await asking)[2])[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("behaviour", "ends"),
    [
        (does.no_done(), '"finish_reason":"stop"}]}'),
        (does.pings_only(2), ": ping\n\n: ping"),
        (does.empty(), ""),
        (does.error_in_200(), '"server_error"}}'),
        (does.error_in_stream(), '"code":null}}'),
        (does.error_in_stream(3), '"code":null}}'),
    ],
)
async def test_improper_ends_of_a_proper_connection(
    wall: Upstream, http: aiohttp.ClientSession, behaviour: does.Behaviour, ends: str
) -> None:
    wall.script("small", behaviour)
    status, _, raw = await post(http, wall, chat(stream=True))
    assert status == 200
    assert raw.decode().rstrip("\n").endswith(ends)
    assert b"[DONE]" not in raw


async def test_a_malformed_event_stands_among_proper_ones(wall: Upstream, http: aiohttp.ClientSession) -> None:
    wall.script("small", does.malformed(2))
    _, _, raw = await post(http, wall, chat(stream=True))
    with pytest.raises(json.JSONDecodeError):
        payloads(raw)
    assert raw.endswith(b"data: [DONE]\n\n")


async def test_usage_may_lie(wall: Upstream, http: aiohttp.ClientSession) -> None:
    wall.script("small", does.answer("x", usage={"prompt_tokens": -1, "total_tokens": "many"}), does.answer(usage=None))
    assert json.loads((await post(http, wall, chat()))[2])["usage"] == {"prompt_tokens": -1, "total_tokens": "many"}
    assert "usage" not in json.loads((await post(http, wall, chat()))[2])


async def test_tool_calls_come_in_parts(wall: Upstream, http: aiohttp.ClientSession) -> None:
    call = does.ToolCall(name="weather", arguments='{"city":"Bern"}')
    wall.script("small", does.answer(tool_calls=(call,)), does.answer(tool_calls=(call,)))
    body = json.loads((await post(http, wall, chat()))[2])
    assert body["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "weather"
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    events = payloads((await post(http, wall, chat(stream=True)))[2])[:-1]
    parts = [part for event in events for part in event["choices"][0]["delta"].get("tool_calls", [])]
    assert "".join(part["function"]["arguments"] for part in parts) == call.arguments


async def test_it_speaks_ollama(wall: Upstream, http: aiohttp.ClientSession) -> None:
    _, headers, raw = await post(http, wall, {"model": "small", "messages": chat()["messages"]}, "/api/chat")
    lines = [json.loads(line) for line in raw.splitlines()]
    assert headers["content-type"] == "application/x-ndjson"
    assert "".join(line["message"]["content"] for line in lines) == "echo: say hello"
    assert (lines[-1]["done"], lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]) == (True, 2, 3)
    _, _, raw = await post(http, wall, chat(), "/api/chat")
    assert json.loads(raw)["message"]["content"] == "echo: say hello"
    async with http.get(wall.url + "/api/tags") as response:
        assert [model["name"] for model in (await response.json())["models"]] == ["small", "large"]
    _, _, raw = await post(http, wall, {"model": "small"}, "/api/show")
    assert json.loads(raw)["model_info"]["llama.context_length"] == 8192


async def test_an_ollama_stream_without_its_last_line(wall: Upstream, http: aiohttp.ClientSession) -> None:
    wall.script("small", does.no_done())
    _, _, raw = await post(http, wall, chat(stream=True), "/api/chat")
    assert not any(json.loads(line)["done"] for line in raw.splitlines())


async def test_lists_and_probes_can_be_scripted_by_path(wall: Upstream, http: aiohttp.ClientSession) -> None:
    wall.script("/v1/models", does.overloaded())
    async with http.get(wall.url + "/v1/models") as response:
        assert response.status == 503
    async with http.get(wall.url + "/v1/models") as response:
        assert [model["id"] for model in (await response.json())["data"]] == ["small", "large"]
    async with http.get(wall.url + "/v1/models/none") as response:
        assert response.status == 404
    assert wall.completions == []


async def test_a_key_is_asked_for_when_it_has_one(http: aiohttp.ClientSession) -> None:
    async with Upstream(api_key="sk-right") as wall:
        assert (await post(http, wall, chat()))[0] == 401
        headers = {"authorization": "Bearer sk-right"}
        async with http.post(wall.url + "/v1/chat/completions", json=chat(), headers=headers) as response:
            assert response.status == 200
        assert wall.attempts[-1].header("authorization") == "Bearer sk-right"


async def test_connections_are_kept_alive_and_numbered(wall: Upstream, http: aiohttp.ClientSession) -> None:
    await post(http, wall, chat())
    await post(http, wall, chat(stream=True))
    assert [attempt.connection for attempt in wall.attempts] == [1, 1]
    assert wall.open_connections == 1


async def test_bytes_can_leave_in_small_pieces(wall: Upstream, http: aiohttp.ClientSession) -> None:
    wall.script("small", does.answer("äöü", chunk_bytes=3))
    _, _, raw = await post(http, wall, chat(stream=True))
    assert payloads(raw)[1]["choices"][0]["delta"]["content"] == "äöü"


async def test_as_a_process_it_is_scripted_over_http(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    log = tmp_path / "wall.jsonl"
    command = (sys.executable, "-m", "shared.testing.upstream", "--log", str(log))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        order = {"model": "small", "behaviours": [{"text": "told"}]}
        async with http.post(url + "/__script", json=order) as response:
            assert response.status == 200
        async with http.post(url + "/__script", json={}) as response:
            assert response.status == 400
        async with http.post(url + "/v1/chat/completions", json=chat()) as response:
            assert (await response.json())["choices"][0]["message"]["content"] == "told"
        async with http.get(url + "/__attempts") as response:
            assert [attempt["text_sent"] for attempt in await response.json()] == ["told"]
    finally:
        process.terminate()
        await process.wait()
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["what"] for entry in entries][:2] == ["started", "finished"]
