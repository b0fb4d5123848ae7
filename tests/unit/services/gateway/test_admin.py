"""The gateway's part of the admin API."""

import asyncio

import httpx
import pytest

from tests.support.gateway import ADMIN, World, model


async def made(client: httpx.AsyncClient, **fields: object) -> dict:
    answer = await client.post("/admin/v1/keys", json=fields, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_new_key_shows_its_value_once_and_points_at_the_default(client: httpx.AsyncClient) -> None:
    key = await made(client)
    assert key["key"].startswith("lr-")
    assert len(key["key"]) == 46
    assert (key["name"], key["target"], key["version"]) == ("my-app-1", {"router": "minimum-cost"}, 1)
    shown = (await client.get(f"/admin/v1/keys/{key['id']}", headers=ADMIN)).json()
    assert "key" not in shown
    assert (shown["prefix"], shown["last4"]) == (key["key"][:6], key["key"][-4:])


async def test_names_are_unique_and_free_again_after_deletion(client: httpx.AsyncClient) -> None:
    first = await made(client, name="app")
    taken = await client.post("/admin/v1/keys", json={"name": "app"}, headers=ADMIN)
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    assert (await client.delete(f"/admin/v1/keys/{first['id']}", headers=ADMIN)).status_code == 204
    assert (await client.get(f"/admin/v1/keys/{first['id']}", headers=ADMIN)).status_code == 404
    await made(client, name="app")


async def test_a_write_at_an_old_version_is_refused(client: httpx.AsyncClient) -> None:
    key = await made(client)
    path = f"/admin/v1/keys/{key['id']}"
    changed = await client.patch(path, json={"description": "x"}, headers={**ADMIN, "if-match": '"1"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    stale = await client.patch(path, json={"description": "y"}, headers={**ADMIN, "if-match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "version_conflict")
    wrong = await client.patch(path, json={}, headers={**ADMIN, "if-match": "x"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_if_match")


async def test_one_patch_changes_and_switches(client: httpx.AsyncClient) -> None:
    key = await made(client)
    body = {"enabled": False, "name": "renamed", "tags": {"team": "a"}}
    patched = await client.patch(f"/admin/v1/keys/{key['id']}", json=body, headers={**ADMIN, "if-match": '"1"'})
    shown = patched.json()
    assert (shown["enabled"], shown["name"], shown["tags"]) == (False, "renamed", {"team": "a"})


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"target": {"router": "nope"}}, 422, "minimum-cost"),
        ({"target": {"model": "nope/none"}}, 422, "nope/none"),
        ({"target": {}}, 422, "either"),
        ({"color": "red"}, 422, "color"),
        ({"networks": ["x"]}, 422, "networks"),
        ({"expires_at": "2030-01-01T00:00:00"}, 422, "offset"),
        ({"name": "a\nb"}, 422, "name"),
    ],
)
async def test_bad_input_names_what_and_what_is_allowed(
    client: httpx.AsyncClient, body: dict, status: int, says: str
) -> None:
    answer = await client.post("/admin/v1/keys", json=body, headers=ADMIN)
    assert answer.status_code == status
    assert says in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.get("/admin/v1/keys", headers=ADMIN)).json()["items"] == []


async def test_an_idempotency_key_makes_one_key_and_never_shows_its_value_again(client: httpx.AsyncClient) -> None:
    headers = {**ADMIN, "idempotency-key": "once"}
    first = await client.post("/admin/v1/keys", json={}, headers=headers)
    again = await client.post("/admin/v1/keys", json={}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 409)
    assert again.json()["resource"]["id"] == first.json()["id"]
    assert first.json()["key"] not in again.text


async def test_lists_are_paged(client: httpx.AsyncClient) -> None:
    ids = [(await made(client))["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/admin/v1/keys", params=query, headers=ADMIN)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ids
    bad = await client.get("/admin/v1/keys", params={"cursor": "é"}, headers=ADMIN)
    assert bad.status_code == 400


async def test_the_default_target_is_a_setting(world: World, client: httpx.AsyncClient) -> None:
    path = "/admin/v1/settings"
    changed = await client.patch(path, json={"default_target": {"model": "groq/llama"}}, headers=ADMIN)
    assert changed.json()["default_target"] == {"model": "groq/llama"}
    assert (await client.get(path, headers=ADMIN)).json()["version"] == 1
    assert (await made(client))["target"] == {"model": "groq/llama"}


async def test_a_target_that_is_on_its_way_is_waited_for(world: World, client: httpx.AsyncClient) -> None:
    asking = asyncio.create_task(client.post("/admin/v1/keys", json={"target": {"model": "late/model"}}, headers=ADMIN))
    await asyncio.sleep(0)
    await world.publish(model("late", "model"))
    assert (await asking).status_code == 201
