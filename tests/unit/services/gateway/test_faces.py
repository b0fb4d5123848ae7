"""What each family of clients meets: its paths, its streams, its errors, its keys and its lists of models."""

from pathlib import Path
from typing import Any

import anthropic
import httpx
import msgspec
import pytest
from ollama import ListResponse, ShowResponse

from shared.contracts.catalog import Capability, Model
from shared.contracts.frames import Data, Head, Tail
from shared.contracts.response_id import Place, encode_response_id, translated_response_id
from shared.contracts.usage import Tokens
from tests.support.gateway import ADMIN, World, failed, model

USER = [{"role": "user", "content": "Hello"}]
ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": USER},
    "/v1/completions": {"prompt": "Once"},
    "/v1/responses": {"input": "Hello"},
    "/v1/embeddings": {"input": "Hello"},
    "/v1/messages": {"messages": USER, "max_tokens": 10},
    "/v1/messages/count_tokens": {"messages": USER},
    "/api/chat": {"messages": USER},
    "/api/generate": {"prompt": "Once"},
    "/api/embed": {"input": "Hello"},
}
DIALECTS = {
    "/v1/chat/completions": "openai_chat",
    "/v1/completions": "openai_completions",
    "/v1/responses": "openai_responses",
    "/v1/embeddings": "openai_embeddings",
    "/v1/messages": "anthropic_messages",
    "/v1/messages/count_tokens": "anthropic_count_tokens",
    "/api/chat": "ollama_chat",
    "/api/generate": "ollama_generate",
    "/api/embed": "ollama_embed",
}


def able(provider: str, native_id: str, *capabilities: Capability) -> Model:
    return msgspec.structs.replace(model(provider, native_id), capabilities=capabilities)


@pytest.fixture
async def world(tmp_path: Any) -> Any:
    made = World(tmp_path)
    await made.start()
    vectors = [able(name, "vectors", Capability.EMBEDDING) for name in ("openai", "groq")]
    await made.publish(able("openai", "gpt-4o", Capability.CHAT, Capability.TOOLS), *vectors)
    yield made
    await made.stop()


@pytest.fixture
async def auth(world: World, client: httpx.AsyncClient) -> dict[str, str]:
    return (await world.key(client, allowed=["*"]))[1]


def shape(path: str, got: httpx.Response) -> str:
    """Return the message of an error, after seeing that it has the form of the path's dialect and nothing else."""
    body = got.json()
    if path.startswith("/api/"):
        assert list(body) == ["error"]
        return body["error"]
    if path.startswith("/v1/messages"):
        assert list(body) == ["type", "error", "request_id"]
        assert body["type"] == "error"
        assert list(body["error"]) == ["type", "message"]
        assert got.headers["request-id"] == body["request_id"] == got.headers["x-request-id"]
        return body["error"]["message"]
    assert list(body) == ["error"]
    assert list(body["error"]) == ["message", "type", "param", "code"]
    return body["error"]["message"]


@pytest.mark.parametrize("path", ASKED)
async def test_a_request_goes_on_in_its_own_dialect_with_all_it_said(
    world: World, client: httpx.AsyncClient, auth: dict[str, str], path: str
) -> None:
    body = {"model": "auto", **ASKED[path], "stream": False, "unknown": {"a": 1}}
    got = await client.post(path, json=body, headers=auth | {"idempotency-key": "once"})
    assert got.status_code == 200, got.text
    [asked] = world.vendor.asked
    assert (asked.dialect, asked.body, asked.stream) == (DIALECTS[path], body, False)
    assert asked.idempotency_key == "once"
    [record] = await world.records()
    assert (record.endpoint, record.dialect, record.status) == (path, DIALECTS[path], "succeeded")


@pytest.mark.parametrize("path", ASKED)
async def test_only_ollamas_text_streams_unasked(
    world: World, client: httpx.AsyncClient, auth: dict[str, str], path: str
) -> None:
    for said in ({}, {"stream": None}):
        await client.post(path, json={"model": "auto", **ASKED[path], **said}, headers=auth)
    streamed = path in ("/api/chat", "/api/generate")
    assert [asked.stream for asked in world.vendor.asked] == [streamed, streamed]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/messages/count_tokens", "/api/embed"])
async def test_what_has_no_stream_is_never_asked_for_one(
    world: World, client: httpx.AsyncClient, auth: dict[str, str], path: str
) -> None:
    got = await client.post(path, json={"model": "auto", **ASKED[path], "stream": True}, headers=auth)
    assert got.headers["content-type"] == "application/json"
    assert [asked.stream for asked in world.vendor.asked] == [False]


def bad_bodies(path: str) -> list[bytes]:
    whole = {"model": "auto", **ASKED[path]}
    partial = [{name: value for name, value in whole.items() if name != left_out} for left_out in whole]
    wrong = [{**whole, name: value} for name in whole for value in (7, {}) if (name, value) != ("max_tokens", 7)]
    wrong = [body for body in wrong if not isinstance(body.get("prompt"), int | dict)]
    if "max_tokens" in whole:
        wrong += [{**whole, "max_tokens": value} for value in (0, -1, True, 1.5, "10")]
    if path in ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/api/chat"):
        wrong.append({**whole, "stream": "yes"})
    encoded = [msgspec.json.encode(body) for body in (*partial, *wrong)]
    return [b"", b"{", b"[]", b"null", b'"text"', b"\xff", b"[" * 100_000, *encoded]


@pytest.mark.parametrize("path", ASKED)
async def test_a_bad_body_is_400_in_the_clients_own_form_and_reaches_no_vendor(
    world: World, client: httpx.AsyncClient, auth: dict[str, str], path: str
) -> None:
    bodies = [body for body in bad_bodies(path) if b'"input":{}' not in body or path != "/v1/responses"]
    bodies = [body for body in bodies if b'"input":7' not in body or path != "/v1/responses"]
    for body in bodies:
        got = await client.post(path, content=body, headers=auth)
        assert got.status_code == 400, (body[:100], got.text)
        assert shape(path, got)
    assert not world.vendor.asked
    records = await world.records()
    assert {(record.status, record.http_status) for record in records} == {("refused", 400)}
    assert len(records) == len(bodies)


@pytest.mark.parametrize("path", ASKED)
async def test_a_wrong_key_a_wrong_model_and_a_wrong_method_are_told_in_the_clients_own_form(
    world: World, client: httpx.AsyncClient, auth: dict[str, str], path: str
) -> None:
    body = {"model": "auto", **ASKED[path]}
    for headers in ({}, {"authorization": "Bearer lr-wrong"}, {"x-api-key": "lr-wrong"}):
        got = await client.post(path, json=body, headers=headers)
        assert got.status_code == 401
        assert "API key" in shape(path, got)
    unknown = await client.post(path, json={**body, "model": "nope/none"}, headers=auth)
    assert (unknown.status_code, "nope/none" in shape(path, unknown)) == (404, True)
    wrong = await client.get(path, headers=auth)
    assert (wrong.status_code, "POST" in shape(path, wrong)) == (405, True)
    _, narrow = await world.key(client)
    forbidden = await client.post(path, json={**body, "model": "openai/gpt-4o"}, headers=narrow)
    assert (forbidden.status_code, "may not use" in shape(path, forbidden)) == (403, True)


@pytest.mark.parametrize("path", ["/v1/nope", "/v1/messages/nope", "/api/nope"])
async def test_an_unknown_path_is_404_in_the_form_of_its_neighbours(
    client: httpx.AsyncClient, auth: dict[str, str], path: str
) -> None:
    got = await client.post(path, json={}, headers=auth)
    assert got.status_code == 404
    assert path in shape(path, got)


@pytest.mark.parametrize(
    ("status", "kind", "code", "error"),
    [
        (400, "invalid_request", "bad", "invalid_request_error"),
        (401, "authentication", None, "api_error"),
        (429, "rate_limited", None, "rate_limit_error"),
        (503, "overloaded", None, "overloaded_error"),
        (529, "overloaded", None, "overloaded_error"),
        (None, "timeout", None, "timeout_error"),
        (None, "connect", None, "api_error"),
    ],
)
async def test_anthropics_clients_get_anthropics_types_of_errors(
    world: World, client: httpx.AsyncClient, auth: dict[str, str], status: int, kind: str, code: str, error: str
) -> None:
    _, auth = await world.key(client, target={"model": "openai/gpt-4o"})
    for _ in range(3):
        world.vendor.says("openai/gpt-4o", failed(kind, http_status=status, code=code))
    got = await client.post("/v1/messages", json={"model": "auto", **ASKED["/v1/messages"]}, headers=auth)
    assert got.json()["error"]["type"] == error


STARTED = b'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n'
FIRST = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":41}\n\n'


@pytest.mark.parametrize(
    ("path", "events", "expected"),
    [
        ("/v1/chat/completions", [b'data: {"a":1}\n\n'], b'data: {"error":{"message":'),
        ("/v1/responses", [STARTED, FIRST], b'event: error\ndata: {"type":"error","code":"all_attempts_failed",'),
        ("/v1/messages", [b'event: a\ndata: {"a":1}\n\n'], b'event: error\ndata: {"type":"error","error":{"type":'),
        ("/api/chat", [b'{"a":1}\n'], b'{"error":"Every attempt failed'),
        ("/api/generate", [b'{"a":1}\n'], b'{"error":"Every attempt failed'),
    ],
)
async def test_a_running_stream_ends_with_an_error_in_the_clients_own_form_and_no_made_up_end(
    world: World, client: httpx.AsyncClient, auth: dict[str, str], path: str, events: list[bytes], expected: bytes
) -> None:
    head = Head(status=200, content_type="text/plain")
    world.vendor.says("openai/gpt-4o", head, *(Data(event, content=True) for event in events), failed("cut"))
    body = {"model": "auto", **ASKED[path], "stream": True}
    got = await client.post(path, json=body, headers=auth)
    assert got.content.startswith(b"".join(events) + expected)
    assert got.content.endswith(b"\n" if path.startswith("/api") else b"\n\n")
    if path == "/v1/responses":
        assert b'"sequence_number":42}' in got.content
    [record] = await world.records()
    assert record.status == "failed"
    assert record.tokens.output == len(events), "what was delivered is counted, line or event"


async def test_counting_tokens_costs_nothing_whatever_the_vendor_says(
    world: World, client: httpx.AsyncClient, auth: dict[str, str]
) -> None:
    path = "/v1/messages/count_tokens"
    await world.publish(msgspec.structs.replace(model("openai", "gpt-4o"), prices=None, context_window=10))
    _, auth = await world.key(client, policies={"unpriced": "refuse"})
    body = {"model": "auto", "messages": [{"role": "user", "content": "long " * 1000}]}
    head = Head(status=200, content_type="application/json")
    used = Tokens(input=1000, output=3, source="provider")
    world.vendor.says("openai/gpt-4o", head, Data(b'{"input_tokens":1000}', content=True), Tail(tokens=used))
    got = await client.post(path, json=body, headers=auth)
    assert (got.status_code, got.json()) == (200, {"input_tokens": 1000})
    assert got.headers["x-localrouter-cost-usd"] == "0"
    world.vendor.says("openai/gpt-4o", failed("invalid_request", http_status=400))
    assert (await client.post(path, json=body, headers=auth)).status_code == 400
    for record in await world.records():
        assert (record.cost, record.tokens, record.needs.input_tokens) == (0, Tokens(), 0)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/api/embed"])
async def test_vectors_never_come_from_another_model(
    world: World, client: httpx.AsyncClient, auth: dict[str, str], path: str
) -> None:
    body = {"model": "auto", **ASKED[path]}
    world.vendor.says("openai/vectors", failed("server_error", http_status=500, retry_after_ms=1))
    assert (await client.post(path, json=body, headers=auth)).status_code == 200, "the same one may be tried again"
    assert [asked.model for asked in world.vendor.asked] == ["openai/vectors"] * 2
    world.vendor.says("openai/vectors", failed("rate_limited", http_status=429, retry_after_ms=60_000))
    assert (await client.post(path, json=body, headers=auth)).status_code == 429
    assert (await client.post(path, json=body, headers=auth)).status_code == 503, "one that is away is not replaced"
    assert {asked.model for asked in world.vendor.asked} == {"openai/vectors"}


async def test_a_response_goes_on_where_the_one_before_lies(
    world: World, client: httpx.AsyncClient, auth: dict[str, str]
) -> None:
    await world.publish(model("openai", "gpt-4o"), model("groq", "llama"), model("groq", "gemma"))
    _, auth = await world.key(client)
    body = {"model": "auto", "input": "and then?"}
    there = encode_response_id(Place("id-of-groq", "credential", "resp_1"))
    world.vendor.says("groq/llama", failed("rate_limited", http_status=429))
    got = await client.post("/v1/responses", json={**body, "previous_response_id": there}, headers=auth)
    assert (got.status_code, got.headers["x-localrouter-model"]) == (200, "groq/gemma")
    assert world.vendor.asked[-1].body["previous_response_id"] == there
    elsewhere = encode_response_id(Place("id-of-nobody", None, "resp_1"))
    for previous in (elsewhere, "resp_1", translated_response_id("abc"), 7, {}, ""):
        got = await client.post("/v1/responses", json={**body, "previous_response_id": previous}, headers=auth)
        assert (got.status_code, got.json()["error"]["param"]) == (400, "previous_response_id")
        assert got.json()["error"]["message"]
    assert len(world.vendor.asked) == 2
    got = await client.post("/v1/responses", json={**body, "previous_response_id": None}, headers=auth)
    assert got.headers["x-localrouter-model"] == "openai/gpt-4o"


async def test_a_key_may_stand_in_x_api_key_where_anthropics_clients_put_it(
    world: World, client: httpx.AsyncClient, auth: dict[str, str]
) -> None:
    key = auth["authorization"].removeprefix("Bearer ")
    body = {"model": "auto", **ASKED["/v1/messages"]}
    version = {"anthropic-version": "2023-06-01"}

    async def status(path: str, headers: dict[str, str]) -> int:
        asked = (
            client.get(path, headers=headers) if path == "/v1/models" else client.post(path, json=body, headers=headers)
        )
        return (await asked).status_code

    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        assert await status(path, {"x-api-key": key}) == 200
        assert await status(path, {"x-api-key": key, **auth}) == 200
        assert await status(path, {"x-api-key": "lr-other", **auth}) == 401
        assert await status(path, {"x-api-key": key, "authorization": "Bearer lr-other"}) == 401
    assert await status("/v1/models", {"x-api-key": key, **version}) == 200
    assert await status("/v1/models", {"x-api-key": key}) == 401
    for path in ("/v1/chat/completions", "/v1/responses", "/api/chat"):
        assert await status(path, {"x-api-key": key}) == 401


async def test_anthropics_own_headers_go_on_and_nobody_elses(
    world: World, client: httpx.AsyncClient, auth: dict[str, str]
) -> None:
    sent = [
        *auth.items(),
        ("anthropic-beta", "a-2025"),
        ("anthropic-beta", "b-2025,c-2025"),
        ("anthropic-version", "2023-06-01"),
        ("x-other", "1"),
    ]
    for path in ("/v1/messages", "/v1/chat/completions"):
        await client.post(path, json={"model": "auto", **ASKED[path]}, headers=sent)
    first, second = world.vendor.asked
    assert first.headers == {"anthropic-beta": "a-2025,b-2025,c-2025", "anthropic-version": "2023-06-01"}
    assert second.headers == {}


async def test_a_page_that_may_call_may_send_anthropics_headers(client: httpx.AsyncClient) -> None:
    wanted = "x-api-key, anthropic-version, anthropic-beta, content-type"
    headers = {
        "origin": "http://localhost:5173",
        "access-control-request-method": "POST",
        "access-control-request-headers": wanted,
    }
    for path in ("/v1/messages", "/v1/responses", "/api/chat"):
        got = await client.options(path, headers=headers)
        assert got.status_code == 204
        assert got.headers["access-control-allow-headers"] == wanted
    shown = await client.get("/v1/models", headers={"origin": "http://localhost:5173"})
    assert "request-id" in shown.headers["access-control-expose-headers"].split(", ")
    evil = await client.post("/api/chat", json={}, headers={"origin": "http://evil.example"})
    assert (evil.status_code, list(evil.json())) == (403, ["error"])


async def test_lists_of_models_have_the_form_of_who_asks(client: httpx.AsyncClient, auth: dict[str, str]) -> None:
    names = ["router/minimum-cost", "groq/vectors", "openai/gpt-4o", "openai/vectors"]
    listed = await client.get("/v1/models", headers=auth | {"anthropic-version": "2023-06-01"})
    page = anthropic.types.ModelInfo.model_validate(listed.json()["data"][2])
    assert [item["id"] for item in listed.json()["data"]] == names
    assert (listed.json()["has_more"], listed.json()["last_id"]) == (False, "openai/vectors")
    assert (page.id, page.type, page.max_input_tokens) == ("openai/gpt-4o", "model", 8000)
    one = await client.get("/v1/models/openai/gpt-4o", headers=auth | {"anthropic-version": "2023-06-01"})
    assert one.json() == listed.json()["data"][2]
    gone = await client.get("/v1/models/nope/none", headers=auth | {"anthropic-version": "2023-06-01"})
    assert (gone.status_code, gone.json()["error"]["type"]) == (404, "not_found_error")
    tags = ListResponse.model_validate((await client.get("/api/tags", headers=auth)).json())
    assert [item.model for item in tags.models] == names
    assert (await client.get("/api/version", headers=auth)).json().keys() == {"version"}


async def test_show_tells_what_a_name_would_reach(
    world: World, client: httpx.AsyncClient, auth: dict[str, str]
) -> None:
    large = msgspec.structs.replace(model("openai", "gpt-4o"), parameters_b=7.5, quantization="Q4_K_M")
    await world.publish(large, able("groq", "vectors", Capability.EMBEDDING))
    _, narrow = await world.key(client)
    for name in ("openai/gpt-4o", "gpt-4o"):
        got = await client.post("/api/show", json={"model": name}, headers=auth)
        shown = ShowResponse.model_validate(got.json())
        assert shown.capabilities == ["completion", "tools"]
        assert shown.details is not None
        assert (shown.details.parameter_size, shown.details.quantization_level) == ("7.5B", "Q4_K_M")
        assert shown.modelinfo is not None
        assert shown.modelinfo["openai.context_length"] == 8000
        assert shown.modelinfo["general.parameter_count"] == 7_500_000_000
    router = await client.post("/api/show", json={"name": "auto"}, headers=auth)
    assert router.json()["capabilities"] == ["completion", "embedding", "tools"]
    for body, status in (
        ({"model": "nope/none"}, 404), ({}, 400), ({"model": 7}, 400), ([], 400),
    ):  # fmt: skip
        got = await client.post("/api/show", json=body, headers=auth)
        assert (got.status_code, list(got.json())) == (status, ["error"])
    assert (await client.get("/api/show", headers=auth)).status_code == 405
    assert (await client.post("/api/tags", headers=auth)).status_code == 405
    assert (await client.post("/api/show", json={"model": "groq/vectors"}, headers=narrow)).status_code == 403


async def test_ollama_clients_on_this_machine_may_have_a_key_that_they_never_send(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.loopback_key = "desk"
    await world.start()
    await world.publish(model("openai", "gpt-4o"))
    body = {"model": "auto", **ASKED["/api/chat"]}
    async with world.client() as client:
        assert (await client.post("/api/chat", json=body)).status_code == 401, "there is no such key yet"
        key_id, _ = await world.key(client, name="desk")
        assert (await client.post("/api/chat", json=body)).status_code == 200
        assert (await client.get("/api/tags")).status_code == 200
        for header, value in (
            ("authorization", "Bearer lr-wrong"), ("authorization", ""), ("x-api-key", "x"), ("cookie", "a=b"),
            ("origin", "http://localhost:1"), ("x-forwarded-for", "127.0.0.1"), ("sec-fetch-site", "cross-site"),
        ):  # fmt: skip
            assert (await client.post("/api/chat", json=body, headers={header: value})).status_code == 401, header
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 401
        assert world.gateway is not None
        for address, status in (("127.0.0.2", 200), ("::1", 200), ("192.168.1.7", 401), ("", 401)):
            transport = httpx.ASGITransport(world.gateway.service.app, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as there:
                assert (await there.post("/api/chat", json=body)).status_code == status, address
        await client.patch(f"/admin/v1/keys/{key_id}", json={"enabled": False}, headers=ADMIN)
        assert (await client.post("/api/chat", json=body)).status_code == 403
    assert {record.key_name for record in await world.records() if record.status == "succeeded"} == {"desk"}
