"""The public face: hosts, origins, health and the admin API's door."""

import asyncio

import httpx
import pytest

from tests.support.gateway import ADMIN, World, answer

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", CHAT, "/admin/v1/keys", "/metrics"])
async def test_an_unknown_host_gets_421_on_every_route(client: httpx.AsyncClient, path: str) -> None:
    for host in ("evil.example", "a/?x="):
        assert (await client.get(path, headers={**ADMIN, "host": host})).status_code == 421


async def test_a_foreign_web_origin_may_not_call_and_loopback_may(world: World, client: httpx.AsyncClient) -> None:
    _, auth = await world.key(client)
    foreign = await client.get("/v1/models", headers={**auth, "origin": "https://evil.example"})
    assert foreign.status_code == 403
    local = await client.get("/v1/models", headers={**auth, "origin": "http://localhost:5173"})
    assert local.headers["access-control-allow-origin"] == "http://localhost:5173"
    asking = {"origin": "http://localhost:5173", "access-control-request-method": "POST"}
    preflight = await client.options(CHAT, headers={**asking, "access-control-request-headers": "authorization"})
    assert (preflight.status_code, preflight.headers["access-control-allow-headers"]) == (204, "authorization")


@pytest.mark.parametrize("path", ["/admin/v1/keys", "/admin/v1/nope", "/metrics", "/admin/v1/health"])
async def test_the_admin_api_needs_the_admin_token_and_a_data_key_is_none(
    world: World, client: httpx.AsyncClient, path: str
) -> None:
    _, auth = await world.key(client)
    for headers in ({}, auth, {"authorization": "Bearer "}):
        got = await client.get(path, headers=headers)
        assert (got.status_code, got.json()["code"]) == (401, "unauthorized")
        assert got.headers["content-type"] == "application/problem+json"


async def test_the_service_token_opens_the_metrics_and_nothing_else(client: httpx.AsyncClient) -> None:
    service = {"authorization": "Bearer the-service-token"}
    assert (await client.get("/metrics", headers=service)).status_code == 200
    for path in ("/admin/v1/keys", "/admin/v1/nope", "/v1/models"):
        assert (await client.get(path, headers=service)).status_code == 401


async def test_health_and_metrics_are_there(world: World, client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "alive"}
    assert (await client.get("/readyz")).json() == {"status": "ready", "reasons": []}
    assert b"localrouter_outbox_bytes" in (await client.get("/metrics", headers=ADMIN)).content
    health = (await client.get("/admin/v1/health", headers=ADMIN)).json()
    assert health["status"] == "ok"
    assert health["log"] == {"connected": True, "away_s": 0.0, "waiting_bytes": 0}
    assert {item["provider"] for item in health["providers"]} == {"openai", "groq"}


async def test_a_key_whose_event_does_not_read_refuses_and_readiness_names_it(
    world: World, client: httpx.AsyncClient
) -> None:
    key_id, auth = await world.key(client)
    await world.log.publish(f"lr.config.key.{key_id}", b'{"broken": true}', message_id="poison")

    async with asyncio.timeout(5):
        while (await client.get("/readyz")).status_code != 503:  # noqa: ASYNC110  the condition is what the client sees
            await asyncio.sleep(0)
    assert key_id in (await client.get("/readyz")).text
    assert (await client.get("/v1/models", headers=auth)).status_code == 403


async def test_while_shutting_down_no_request_begins(world: World, client: httpx.AsyncClient) -> None:
    _, auth = await world.key(client)
    assert world.gateway is not None
    world.gateway.drain()
    got = await client.post(CHAT, json={"model": "auto", "messages": [{}]}, headers=auth)
    assert (got.status_code, got.json()["error"]["code"]) == (503, "shutting_down")


async def test_keys_and_their_values_survive_a_restart(world: World, client: httpx.AsyncClient) -> None:
    _, auth = await world.key(client)
    await world.stop()
    await world.start()
    async with world.client() as again:
        world.vendor.says("openai/gpt-4o", *answer())
        got = await again.post(CHAT, json={"model": "auto", "messages": [{}]}, headers=auth)
    assert got.status_code == 200
