"""The admin API of providers, models and vendors, asked as the gateway asks it."""

import socket

import msgspec
import pytest

from services.providers.domain.discovery import Place
from shared.contracts.config import (
    KeyCreated,
    KeyOptions,
    KeyValue,
    ManualOrder,
    ProviderAdded,
    ProviderSpec,
    RouterCreated,
    RouterSpec,
    Target,
)
from shared.contracts.envelope import Event, EventData, type_of
from shared.contracts.frames import Tail
from shared.log.port import CATALOG, LR_CONFIG, Append
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.testing import upstream_behaviour as does
from shared.testing.completions_contract import PROVIDER, completion, frames_of
from shared.testing.upstream import Upstream


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.raw = body
        self.json = msgspec.json.decode(body) if body else None


async def ask(house, method, path, body=None, **headers) -> Answer:
    """Call the service's application as ASGI."""
    path, _, query = path.partition("?")
    given = {"x-localrouter-actor": "tester", "content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": f"/admin/v1{path}",
        "raw_path": f"/admin/v1{path}".encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"" if body is None else msgspec.json.encode(body)}

    async def send(message):
        sent.append(message)

    await house.service.app(scope, receive, send)
    start = sent[0]
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))


async def record(house, subject: str, data: EventData) -> None:
    name, version = type_of(data)
    item = Event(
        id=new_id(), type=name, version=version, source="test", subject=subject, time=SYSTEM_CLOCK.now(), data=data
    )
    await house.log.append(Append(f"lr.config.{subject.replace('/', '.')}", [item], 0))


def wall_in(wall: Upstream, **fields):
    return {"vendor": "openai-compatible", "slug": "wall", "base_url": f"{wall.url}/v1/", "local": True, **fields}


@pytest.fixture
async def wall():
    async with Upstream(api_key="sk-wall-credential") as scripted:
        yield scripted


async def test_a_provider_is_added_shown_and_listed(house, wall):
    async with house() as running:
        added = await ask(running, "POST", "/providers", wall_in(wall, options={"models": ["extra"]}))
        shown = await ask(running, "GET", "/providers/wall")
        by_id = await ask(running, "GET", f"/providers/{added.json['id']}")
        listed = await ask(running, "GET", "/providers")
    assert added.status == 201
    assert added.headers["location"].endswith(added.json["id"])
    assert added.headers["etag"] == '"1"'
    assert shown.json == by_id.json
    assert shown.json["base_url"] == f"{wall.url}/v1"
    assert shown.json["options"]["models"] == ["extra"]
    assert set(added.json) >= {
        "id", "slug", "vendor", "base_url", "enabled", "local", "subscription", "credentials", "options", "health",
        "version",
    }  # fmt: skip
    assert [item["slug"] for item in listed.json["items"]] == ["ollama", "wall"]


async def test_a_vendor_is_enough_where_it_has_an_address(house):
    async with house() as running:
        added = await ask(running, "POST", "/providers", {"vendor": "groq"})
        again = await ask(running, "POST", "/providers", {"vendor": "groq"})
        nowhere = await ask(running, "POST", "/providers", {"vendor": "openai-compatible", "slug": "x"})
    assert (added.json["slug"], added.json["base_url"]) == ("groq", "https://api.groq.com/openai/v1")
    assert (again.status, again.json["code"]) == (409, "name_taken")
    assert (nowhere.status, nowhere.json["code"]) == (422, "invalid_base_url")


async def test_the_same_idempotency_key_adds_once(house):
    async with house() as running:
        first = await ask(running, "POST", "/providers", {"vendor": "groq"}, idempotency_key="k")
        second = await ask(running, "POST", "/providers", {"vendor": "groq"}, idempotency_key="k")
    assert second.status == 409
    assert second.json["resource"]["id"] == first.json["id"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"vendor": "nobody"}, "unknown_vendor"),
        ({"vendor": "openai", "slug": "A b"}, "invalid_slug"),
        ({"vendor": "openai", "base_url": "http://169.254.169.254"}, "invalid_base_url"),
        ({"vendor": "openai", "base_url": "http://10.0.0.1"}, "invalid_base_url"),
        ({"vendor": "openai", "typo": 1}, "invalid_request"),
        ({}, "invalid_request"),
        ({"vendor": "openai", "options": {"probe_interval_s": 0}}, "invalid_request"),
    ],
)
async def test_what_cannot_be_is_refused_with_a_reason(house, body, code):
    async with house() as running:
        answer = await ask(running, "POST", "/providers", body)
    assert (answer.status, answer.json["code"]) == (422, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_change_asks_for_the_version_that_was_read(house, wall):
    async with house() as running:
        await ask(running, "POST", "/providers", wall_in(wall))
        stale = await ask(running, "PATCH", "/providers/wall", {"enabled": False}, if_match='"7"')
        changed = await ask(
            running, "PATCH", "/providers/wall", {"enabled": False, "options": {"breaker_failures": 5}}, if_match='"1"'
        )
        missing = await ask(running, "PATCH", "/providers/nope", {"enabled": False})
    assert stale.status == 412
    assert (changed.json["enabled"], changed.json["version"]) == (False, 2)
    assert changed.json["options"]["breaker_failures"] == 5
    assert missing.status == 404


async def test_a_credential_is_sealed_recognised_and_never_shown(house, wall):
    async with house() as running:
        await ask(running, "POST", "/providers", wall_in(wall))
        stored = await ask(running, "PUT", "/providers/wall/credentials", {"value": "sk-wall-credential"})
        tested = await ask(running, "POST", "/providers/wall/test")
        shown = await ask(running, "GET", "/providers/wall")
        events = [recorded.raw async for recorded in running.log.read(LR_CONFIG)]
    assert stored.status == 200
    assert tested.json["ok"] is True
    assert shown.json["credentials"] == [{**stored.json}]
    assert "sk-wall-credential" not in (stored.raw + shown.raw + b"".join(events)).decode()


async def test_a_new_value_purges_the_old_and_removal_purges_all(house, wall):
    async with house() as running:
        await ask(running, "POST", "/providers", wall_in(wall))
        first = await ask(running, "PUT", "/providers/wall/credentials", {"value": "sk-one"})
        second = await ask(running, "PUT", "/providers/wall/credentials", {"value": "sk-two"})
        third = await ask(running, "PUT", "/providers/wall/credentials", {"value": "sk-three", "name": "spare"})
        kept = [value for value, _ in running.secrets.values.values()]
        assert kept == [b"sk-two", b"sk-three"]
        gone = await ask(running, "DELETE", f"/providers/wall/credentials?credential_id={first.json['id']}")
        one = await ask(running, "DELETE", f"/providers/wall/credentials?credential_id={third.json['id']}")
        assert [value for value, _ in running.secrets.values.values()] == [b"sk-two"]
        removed = await ask(running, "DELETE", "/providers/wall")
        assert running.secrets.values == {}
    assert second.status == 200
    assert (gone.status, one.status, removed.status) == (404, 204, 204)


@pytest.mark.parametrize("value", ["", "two words", "line\r\nbreak", "schlüssel", " "])
async def test_what_cannot_be_a_header_is_no_credential(house, wall, value):
    async with house() as running:
        await ask(running, "POST", "/providers", wall_in(wall))
        answer = await ask(running, "PUT", "/providers/wall/credentials", {"value": value})
        assert running.secrets.values == {}
    assert answer.status == 422


async def test_a_refused_credential_leaves_no_secret_behind(house):
    async with house() as running:
        missing = await ask(running, "PUT", "/providers/nope/credentials", {"value": "sk-x"})
        stale = await ask(running, "PUT", "/providers/ollama/credentials", {"value": "sk-x"}, if_match='"9"')
        assert running.secrets.values == {}
    assert (missing.status, stale.status) == (404, 412)


async def test_a_key_of_the_environment_is_shown_as_such(house):
    async with house(environ={"GROQ_API_KEY": "gsk-environment"}) as running:
        shown = await ask(running, "GET", "/providers/groq")
        events = [
            recorded.event async for recorded in running.log.read(LR_CONFIG, "lr.config.provider.*") if recorded.event
        ]
    (credential,) = shown.json["credentials"]
    assert (credential["id"], credential["source"], credential["state"]) == ("environment", "environment", "in_use")
    added = {item.data.spec.slug: item.actor for item in events if isinstance(item.data, ProviderAdded)}
    assert added == {"ollama": "default", "groq": "environment"}


async def test_what_is_in_use_is_not_removed_and_names_its_users(house, wall):
    async with house() as running:
        await ask(running, "POST", "/providers", wall_in(wall))
        value = KeyValue(digest=b"x", pepper_id="p", prefix="lr-", last4="abcd")
        options = KeyOptions(name="my-app-1", target=Target(model="wall/small"))
        await record(running, "key/k1", KeyCreated(key_id="k1", value=value, options=options))
        spec = RouterSpec(slug="mine", name="Mine", order=ManualOrder(models=("wall/large",)))
        await record(running, "router/r1", RouterCreated(router_id="r1", spec=spec))
        await running.caught_up()
        refused = await ask(running, "DELETE", "/providers/wall")
        renamed = await ask(running, "PATCH", "/providers/wall", {"slug": "other"})
    assert (refused.status, refused.json["code"]) == (409, "in_use")
    assert refused.json["used_by"] == ["key my-app-1", "router mine"]
    assert renamed.status == 409


async def test_models_are_filtered_and_paged(house, wall):
    async with house() as running:
        body = wall_in(wall, options={"models": ["llama-70b", "tiny-1b", "text-embedding-x"]})
        await ask(running, "POST", "/providers", body)
        await ask(running, "PUT", "/providers/wall/credentials", {"value": "sk-wall-credential"})
        refreshed = await ask(running, "POST", "/models/refresh?provider=wall")
        assert refreshed.json["models"] == 5

        async def ids(query: str) -> list[str]:
            return [item["model"] for item in (await ask(running, "GET", f"/models?{query}")).json["items"]]

        assert await ids("q=tiny") == ["tiny-1b"]
        assert await ids("min_parameters_b=2") == ["llama-70b"]
        assert await ids("max_parameters_b=2") == ["tiny-1b"]
        assert await ids("capability=embedding") == ["text-embedding-x"]
        assert await ids("capability=tools&capability=chat&q=70") == ["llama-70b"]
        assert await ids("provider=ollama") == []
        assert await ids("min_context=1") == []
        assert len(await ids("max_price=0")) == 5
        first = (await ask(running, "GET", "/models?limit=3")).json
        second = (await ask(running, "GET", f"/models?limit=3&cursor={first['next_cursor']}")).json
        bad = await ask(running, "GET", "/models?max_price=cheap")
        lost = await ask(running, "POST", "/models/refresh?provider=nope")
    assert [item["model"] for item in first["items"] + second["items"]] == [
        "large", "llama-70b", "small", "text-embedding-x", "tiny-1b",
    ]  # fmt: skip
    assert second["next_cursor"] is None
    assert first["items"][0]["prices"]["input"] == "0"
    assert (bad.status, lost.status) == (422, 404)


async def test_vendors_are_listed(house):
    async with house() as running:
        answer = await ask(running, "GET", "/vendors")
    slugs = [item["slug"] for item in answer.json["items"]]
    assert slugs == sorted(slugs)
    assert {"openai", "openai-compatible", "ollama", "llamacpp", "local"} <= set(slugs)


async def test_a_disabled_provider_has_no_models(house, wall):
    async with house() as running:
        added = await ask(running, "POST", "/providers", wall_in(wall))
        await ask(running, "PUT", "/providers/wall/credentials", {"value": "sk-wall-credential"})
        await ask(running, "POST", "/models/refresh?provider=wall")
        assert await running.log.bucket(CATALOG).get(added.json["id"]) is not None
        await ask(running, "PATCH", "/providers/wall", {"enabled": False})
        await ask(running, "POST", "/models/refresh?provider=wall")
        assert await running.log.bucket(CATALOG).get(added.json["id"]) is None
        assert (await ask(running, "GET", "/models?provider=wall")).json["items"] == []


async def test_internal_routes_need_the_service_token(house):
    async with house(token="service") as running:
        refused = await ask(running, "GET", "/providers")
        allowed = await ask(running, "GET", "/providers", authorization="Bearer service")
    assert (refused.status, allowed.status) == (401, 200)


async def test_a_provider_is_tried_before_it_is_added_and_nothing_is_kept(house):
    async with Upstream(api_key="sk-trial-credential") as wall, house() as running:
        trial = {"vendor": "openai-compatible", "base_url": f"{wall.url}/v1", "local": True}
        good = await ask(running, "POST", "/providers/test", {**trial, "credential": "sk-trial-credential"})
        bad = await ask(running, "POST", "/providers/test", {**trial, "credential": "sk-wrong"})
        odd = await ask(running, "POST", "/providers/test", {**trial, "local": False})
        unknown = await ask(running, "POST", "/providers/test", {"vendor": "nobody"})
        listed = await ask(running, "GET", "/providers")
    assert (good.status, good.json["ok"], good.json["health"]) == (200, True, "healthy")
    assert (bad.status, bad.json["ok"], bad.json["http_status"]) == (200, False, 401)
    assert (odd.status, odd.json["code"]) == (422, "invalid_base_url")
    assert unknown.json["code"] == "unknown_vendor"
    assert [item["slug"] for item in listed.json["items"]] == ["ollama"]
    assert not running.secrets.values


async def test_a_breaker_is_reset_by_hand(house):
    async with Upstream() as wall, house((PROVIDER, spec_at(f"{wall.url}/v1"), None)) as running:
        wall.script("small", does.server_error(), does.server_error(), does.server_error())
        for _ in range(3):
            await frames_of(running.completions, completion())
        opened = await ask(running, "GET", "/providers/wall")
        shown = await ask(running, "POST", "/providers/wall/breaker-reset")
        (*_, last) = await frames_of(running.completions, completion())
        missing = await ask(running, "POST", "/providers/nobody/breaker-reset")
    assert (opened.json["breaker"], shown.status, shown.json["breaker"]) == ("open", 200, "closed")
    assert isinstance(last, Tail)
    assert missing.status == 404


async def test_model_servers_of_this_machine_are_found_and_not_added(house, monkeypatch):
    async with Upstream() as wall:
        nobody = f"http://127.0.0.1:{unused_port()}"
        places = (Place("vllm", f"{wall.url}/v1"), Place("lmstudio", nobody), Place("ollama", wall.url))
        monkeypatch.setattr("services.providers.adapters.discovery.PLACES", places)
        async with house((PROVIDER, spec_at(f"{wall.url}/v1"), None)) as running:
            found = await ask(running, "GET", "/providers/discover")
            listed = await ask(running, "GET", "/providers")
    servers = {item["vendor"]: item for item in found.json["items"]}
    assert set(servers) == {"openai-compatible", "ollama"}
    assert servers["openai-compatible"]["provider"] == "wall"
    assert sorted(servers["openai-compatible"]["models"]) == ["large", "small"]
    assert len(listed.json["items"]) == 2


def spec_at(base_url: str) -> ProviderSpec:
    return ProviderSpec(slug="wall", vendor="openai-compatible", base_url=base_url, local=True)


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
