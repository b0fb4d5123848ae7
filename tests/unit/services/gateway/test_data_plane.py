"""The data plane over the log in memory: what a client sees, and the one record each request leaves."""

import asyncio

import httpx
import msgspec
import pytest

from tests.support.gateway import ADMIN, USED, World, answer, failed, model

CHAT = "/v1/chat/completions"
HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}


async def test_an_answer_carries_who_gave_it_and_what_it_cost(world: World, client: httpx.AsyncClient) -> None:
    _, auth = await world.key(client)
    got = await client.post(CHAT, json=HELLO, headers=auth)
    assert got.status_code == 200
    assert got.json()["choices"][0]["message"]["content"] == "Hello."
    assert got.headers["x-localrouter-model"] == "openai/gpt-4o"
    assert got.headers["x-localrouter-router"] == "minimum-cost"
    assert got.headers["x-localrouter-attempts"] == "1"
    assert got.headers["x-localrouter-cost-usd"] == "0.0000345"
    [record] = await world.records()
    assert (record.status, record.http_status, record.model) == ("succeeded", 200, "openai/gpt-4o")
    assert record.tokens == USED
    assert record.cost == 34_500_000
    assert record.key_name == "my-app-1"
    assert record.plan_hash
    assert record.needs.capabilities == ("chat",)


async def test_a_stream_ends_with_its_own_end_after_the_record_is_written(
    world: World, client: httpx.AsyncClient
) -> None:
    _, auth = await world.key(client)
    got = await client.post(CHAT, json={**HELLO, "stream": True}, headers=auth)
    assert got.headers["content-type"] == "text/event-stream"
    assert got.text.endswith("data: [DONE]\n\n")
    [record] = await world.records()
    assert record.stream
    assert record.ttft_ms is not None
    assert record.attempts[0].outcome == "succeeded"


async def test_a_failure_before_content_goes_to_the_next_candidate(world: World, client: httpx.AsyncClient) -> None:
    _, auth = await world.key(client)
    world.vendor.says("openai/gpt-4o", failed("rate_limited", http_status=429, retry_after_ms=60_000))
    got = await client.post(CHAT, json={**HELLO, "stream": True}, headers=auth)
    assert got.headers["x-localrouter-model"] == "groq/llama"
    assert got.headers["x-localrouter-attempts"] == "2"
    again = await client.post(CHAT, json=HELLO, headers=auth)
    assert again.headers["x-localrouter-model"] == "groq/llama", "a long Retry-After keeps requests away"
    first, second = await world.records()
    assert [attempt.outcome for attempt in first.attempts] == ["rate_limited", "succeeded"]
    assert first.cost == 34_500_000
    assert [(item.model, item.cause) for item in second.excluded] == [("openai/gpt-4o", "cooling")]


async def test_a_failure_after_content_ends_the_stream_with_an_error_and_no_made_up_end(
    world: World, client: httpx.AsyncClient
) -> None:
    _, auth = await world.key(client)
    world.vendor.says("openai/gpt-4o", *answer(stream=True)[:3], failed("cut"))
    got = await client.post(CHAT, json={**HELLO, "stream": True}, headers=auth)
    assert "[DONE]" not in got.text
    assert '"code":"all_attempts_failed"' in got.text
    assert len(world.vendor.asked) == 1
    [record] = await world.records()
    assert record.status == "failed"
    assert record.tokens.source == "estimated"
    assert record.tokens.output == 1


async def test_a_frame_stream_without_an_end_is_a_cut(world: World, client: httpx.AsyncClient) -> None:
    _, auth = await world.key(client, target={"model": "openai/gpt-4o"})
    for _ in range(2):
        world.vendor.says("openai/gpt-4o", *answer()[:2])
    got = await client.post(CHAT, json=HELLO, headers=auth)
    assert got.status_code == 502
    assert got.json()["error"]["code"] == "all_attempts_failed"


async def test_what_the_client_did_wrong_is_answered_in_the_vendors_words(
    world: World, client: httpx.AsyncClient
) -> None:
    _, auth = await world.key(client)
    refusal = failed("invalid_request", http_status=400, code="bad_temperature", param="temperature")
    world.vendor.says("openai/gpt-4o", refusal)
    got = await client.post(CHAT, json=HELLO, headers=auth)
    assert got.status_code == 400
    assert got.json()["error"] == {
        "message": "it was invalid_request",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "bad_temperature",
    }
    assert len(world.vendor.asked) == 1


async def test_all_failed_tells_every_attempt_and_the_smallest_retry_after(
    world: World, client: httpx.AsyncClient
) -> None:
    _, auth = await world.key(client)
    world.vendor.says("openai/gpt-4o", failed("rate_limited", http_status=429, retry_after_ms=61_000))
    world.vendor.says("groq/llama", failed("rate_limited", http_status=429, retry_after_ms=31_000))
    got = await client.post(CHAT, json=HELLO, headers=auth)
    assert got.status_code == 429
    assert got.headers["retry-after"] == "31"
    assert "openai/gpt-4o" in got.json()["error"]["message"]
    assert "groq/llama" in got.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "invalid_json", None),
        (b"[]", 400, "invalid_json", None),
        (b'{"messages": [{}]}', 400, "missing_required_parameter", "model"),
        (b'{"model": "auto"}', 400, "missing_required_parameter", "messages"),
        (b'{"model": "auto", "messages": []}', 400, "invalid_request", "messages"),
        (b'{"model": 7, "messages": [{}]}', 400, "invalid_request", "model"),
        (b'{"model": "auto", "messages": [{}], "stream": "yes"}', 400, "invalid_request", "stream"),
        (b'{"model": "nope/none", "messages": [{}]}', 404, "model_not_found", "model"),
        (b'{"model": "router/nope", "messages": [{}]}', 404, "model_not_found", "model"),
        (b'{"model": "groq/llama", "messages": [{}]}', 403, "model_not_allowed", None),
        (b"[" * 100_000, 400, "invalid_json", None),
        (b'{"model": NaN}', 400, "invalid_json", None),
    ],
)
async def test_a_bad_request_gets_a_clear_error_and_reaches_no_vendor(
    world: World, client: httpx.AsyncClient, body: bytes, status: int, code: str, param: str | None
) -> None:
    _, auth = await world.key(client)
    got = await client.post(CHAT, content=body, headers=auth)
    assert (got.status_code, got.json()["error"]["code"], got.json()["error"]["param"]) == (status, code, param)
    assert not world.vendor.asked
    [record] = await world.records()
    assert (record.status, record.http_status, record.error_code) == ("refused", status, code)


async def test_a_wrong_key_is_401_a_disabled_one_403_and_an_enabled_one_works_again(
    world: World, client: httpx.AsyncClient
) -> None:
    key_id, auth = await world.key(client)
    for header in ({}, {"authorization": "Bearer lr-wrong"}, {"authorization": "Basic x"}):
        wrong = await client.post(CHAT, json=HELLO, headers=header)
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
    for enabled, status in ((False, 403), (True, 200)):
        await client.patch(f"/admin/v1/keys/{key_id}", json={"enabled": enabled}, headers=ADMIN)
        assert (await client.post(CHAT, json=HELLO, headers=auth)).status_code == status


async def test_a_rotated_key_works_by_its_old_value_only_within_the_grace(
    world: World, client: httpx.AsyncClient
) -> None:
    key_id, old = await world.key(client)
    rotated = await client.post(f"/admin/v1/keys/{key_id}/rotate", json={"grace_s": 60}, headers=ADMIN)
    new = {"authorization": f"Bearer {rotated.json()['key']}"}
    assert [(await client.post(CHAT, json=HELLO, headers=auth)).status_code for auth in (old, new)] == [200, 200]
    final = await client.post(f"/admin/v1/keys/{key_id}/rotate", headers=ADMIN)
    newest = {"authorization": f"Bearer {final.json()['key']}"}
    statuses = [(await client.post(CHAT, json=HELLO, headers=auth)).status_code for auth in (new, newest)]
    assert statuses == [401, 200]


async def test_a_bare_name_reaches_the_target_or_the_one_allowed_model_of_that_id(
    world: World, client: httpx.AsyncClient
) -> None:
    _, narrow = await world.key(client, target={"model": "groq/llama"})
    _, wide = await world.key(client, target={"model": "groq/llama"}, allowed=["openai/*"])
    for auth, expected in ((narrow, "groq/llama"), (wide, "openai/gpt-4o")):
        got = await client.post(CHAT, json={**HELLO, "model": "gpt-4o"}, headers=auth)
        assert got.headers["x-localrouter-model"] == expected


async def test_a_list_of_models_is_tried_in_order(world: World, client: httpx.AsyncClient) -> None:
    _, auth = await world.key(client, allowed=["*"])
    world.vendor.says("groq/llama", failed("authentication", http_status=401))
    got = await client.post(CHAT, json={**HELLO, "models": ["groq/llama", "openai/gpt-4o"]}, headers=auth)
    assert got.headers["x-localrouter-model"] == "openai/gpt-4o"
    assert got.headers["x-localrouter-attempts"] == "2"


async def test_models_lists_what_the_key_can_reach(world: World, client: httpx.AsyncClient) -> None:
    _, narrow = await world.key(client)
    _, wide = await world.key(client, allowed=["*"])
    assert [item["id"] for item in (await client.get("/v1/models", headers=narrow)).json()["data"]] == [
        "router/minimum-cost"
    ]
    listed = [item["id"] for item in (await client.get("/v1/models", headers=wide)).json()["data"]]
    assert listed == ["router/minimum-cost", "groq/llama", "openai/gpt-4o"]
    assert (await client.get("/v1/models/openai/gpt-4o", headers=wide)).json()["object"] == "model"
    assert (await client.get("/v1/models/openai/gpt-4o", headers=narrow)).status_code == 404


async def test_an_unknown_price_is_null_and_a_key_may_refuse_it(world: World, client: httpx.AsyncClient) -> None:
    await world.publish(model("openai", "gpt-4o", prices=None), model("groq", "llama"))
    _, lenient = await world.key(client)
    _, strict = await world.key(client, policies={"unpriced": "refuse"})
    unpriced = await client.post(CHAT, json=HELLO, headers=lenient)
    assert "x-localrouter-cost-usd" not in unpriced.headers
    assert (await client.post(CHAT, json=HELLO, headers=strict)).headers["x-localrouter-model"] == "groq/llama"
    first, second = await world.records()
    assert (first.cost, second.cost) == (None, 34_500_000)


async def test_a_client_that_leaves_cancels_the_attempt_and_leaves_one_record(
    world: World, client: httpx.AsyncClient
) -> None:
    _, auth = await world.key(client)
    hung = asyncio.Event()
    world.vendor.says("openai/gpt-4o", *answer(stream=True)[:3], hung.wait)
    assert world.gateway is not None
    sent: list[dict] = []
    told = iter([{"type": "http.request", "body": _body(stream=True), "more_body": False}])

    async def receive() -> dict:
        return next(told, {"type": "http.disconnect"})

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"authorization", auth["authorization"].encode())],
        "client": ("127.0.0.1", 1),
    }
    await asyncio.wait_for(world.gateway.service.app(scope, receive, send), 5)
    [record] = await world.records()
    assert (record.status, record.http_status) == ("cancelled", 499)
    assert record.attempts[0].outcome == "cancelled"
    assert record.tokens.output >= 1


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", CHAT, 405), ("POST", "/v1/nope", 404), ("GET", "/x", 404)]
)
async def test_an_unknown_path_or_method_says_so(
    world: World, client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    _, auth = await world.key(client)
    got = await client.request(method, path, headers=auth)
    assert got.status_code == status
    assert got.json()["error"]["message"]


async def test_a_body_over_the_limit_is_413_and_a_compressed_one_415(world: World, client: httpx.AsyncClient) -> None:
    _, auth = await world.key(client, max_body_bytes=100)
    large = await client.post(CHAT, json={**HELLO, "x": "y" * 200}, headers=auth)
    packed = await client.post(CHAT, content=b"x", headers={**auth, "content-encoding": "gzip"})
    assert (large.status_code, packed.status_code) == (413, 415)


async def test_the_clients_own_uuid_is_kept_as_request_id_and_is_no_identity(
    world: World, client: httpx.AsyncClient
) -> None:
    _, auth = await world.key(client)
    mine = {"x-request-id": "0198c0de-0000-7000-8000-000000000001"}
    for _ in range(2):
        assert (await client.post(CHAT, json=HELLO, headers=auth | mine)).headers["x-request-id"] == mine[
            "x-request-id"
        ]
    other = await client.post(CHAT, json=HELLO, headers={**auth, "x-request-id": "not a uuid"})
    assert other.headers["x-request-id"] != "not a uuid"
    records = await world.records()
    assert len({record.id for record in records}) == 3


def _body(**fields: object) -> bytes:
    return msgspec.json.encode({**HELLO, **fields})
