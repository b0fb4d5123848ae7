"""The services in processes of their own: no way past the gateway, and what happens when one of them is away."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.raw_http import CHAT, Raw, ask, head, post, running
from tests.support.system import System, Wall, separate, until

STREAM = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
HOLD = {"text": " ".join(f"w{index}" for index in range(10)), "events": 10, "fault": "hold", "after": 3}
INTERNAL = {
    "router": ["/admin/v1/routers", "/readyz", "/metrics", "/nope"],
    "providers": ["/admin/v1/providers", "/internal/v1/complete", "/readyz", "/metrics"],
    "metrics": ["/admin/v1/usage", "/admin/v1/requests", "/readyz", "/metrics"],
}


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory, running_wall: Wall) -> Iterator[System]:
    """Four processes over NATS and HTTP."""
    with separate(tmp_path_factory.mktemp("apart")) as running:
        whole(running)
        running.provider(running_wall.url, "wall", ["small"])
        yield running


@pytest.fixture(scope="module")
def proof(apart: System) -> str:
    """The header line that proves a key."""
    return f"Authorization: Bearer {apart.key(target={'model': 'wall/small'})}"


def whole(system: System) -> None:
    """Wait until every service is ready: the gateway is before those that it can answer without."""
    until(
        lambda: all(item["ready"] for item in system.http.get("/health").json()["services"]), "every service is ready"
    )


def service(system: System, name: str) -> psutil.Process:
    """Return the process of one of its services."""
    port = system.url.rpartition(":")[2]
    children = psutil.Process(os.getpid()).children(recursive=True)
    named = [child for child in children if child.cmdline()[-1:] == [f"services.{name}"]]
    return next(child for child in named if child.environ()["LOCALROUTER_SERVER__PORT"] == port)


def address(system: System, name: str) -> str:
    """Return where a service listens."""
    (port,) = {item.laddr.port for item in service(system, name).net_connections("tcp") if item.status == "LISTEN"}
    return f"http://127.0.0.1:{port}"


def admin(system: System) -> str:
    return f"Authorization: {system.http.headers['authorization']}"


@pytest.mark.parametrize("name", INTERNAL)
def test_an_internal_service_is_alive_for_all_and_anything_else_for_nobody_without_its_token(
    apart: System, proof: str, name: str
) -> None:
    url = address(apart, name)
    assert ask(url, head("GET", "/healthz")).status == 200
    for path in INTERNAL[name]:
        for lines in ([], [proof], [admin(apart)], ["Authorization: Bearer "], ["X-LocalRouter-Actor: admin"]):
            for request in (head("GET", path, *lines), post(path, {}, *lines)):
                assert ask(url, request).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/admin/v1/providers/../../../internal/v1/complete",
        "/admin/v1/providers/%2e%2e/%2e%2e/%2e%2e/internal/v1/complete",
        "/admin/v1/providers/..%2f..%2f..%2finternal%2fv1%2fcomplete",
        "/admin/v1/providers/x%3F/../../internal/v1/complete",
        "/admin/v1/routers/../../../metrics",
        "/admin/v1/usage/%2e%2e/%2e%2e/%2e%2e/metrics",
        "/admin/v1/providers%2f..%2f..%2f..%2finternal%2fv1%2fcomplete",
    ],
)
def test_no_path_of_the_admin_api_leads_to_an_internal_route(apart: System, path: str) -> None:
    completion = {"attempt_id": "a", "request_id": "r", "provider_id": "p", "native_id": "n", "model": "m"}
    for request in (
        head("GET", path, admin(apart)),
        post(path, {**completion, "dialect": "d", "body": {}}, admin(apart)),
    ):
        got = ask(apart.url, request)
        assert got.status in (400, 404, 405), got
        assert b"localrouter_" not in got.body


def test_names_with_signs_reach_the_other_service_as_they_were_sent(apart: System) -> None:
    for name in ("a%3Fb", "a%23b", "a%2Fb", "a%20b", "%C3%A9"):
        got = ask(apart.url, head("GET", f"/admin/v1/routers/{name}", admin(apart)))
        assert got.status == 404
        assert got.header("content-type") == "application/problem+json"


def test_what_the_caller_says_about_itself_or_the_connection_stays_outside(apart: System) -> None:
    lines = ["X-LocalRouter-Actor: somebody else", "Connection: X-LocalRouter-Actor", "Cookie: a=b", "Expect: nothing"]
    lines += ["Upgrade: h2c", "TE: trailers", "Keep-Alive: timeout=1", "Proxy-Authorization: Basic eA=="]
    assert ask(apart.url, head("GET", "/admin/v1/providers", admin(apart), *lines)).status == 200
    body = {"name": "By me", "order": {"mode": "automatic", "strategies": [{"name": "lowest_cost"}]}}
    got = ask(apart.url, post("/admin/v1/routers", body, admin(apart), "Content-Type: application/json", *lines))
    assert got.status == 201


def test_a_body_that_is_cut_short_is_not_passed_on_as_if_it_were_whole(apart: System) -> None:
    before = len(apart.items("routers"))
    body = b'{"name":"Half","order":{"mode":"automatic","strategies":[{"name":"lowest_cost"}]}}'
    lines = [admin(apart), "Content-Type: application/json", f"Content-Length: {len(body) + 100}"]
    raw = Raw(apart.url).send(head("POST", "/admin/v1/routers", *lines) + body)
    raw.close()
    assert ask(apart.url, head("GET", "/admin/v1/routers", admin(apart))).status == 200
    assert len(apart.items("routers")) == before


def test_a_client_that_leaves_closes_the_socket_upstream_through_both_processes(
    apart: System, proof: str, vendor: Wall
) -> None:
    vendor.script(HOLD)
    raw = Raw(apart.url).send(post(CHAT, STREAM, proof))
    raw.until(b"w2")
    raw.close()
    until(lambda: vendor.attempts()[0]["closed_at"], "the socket upstream is closed", 3)
    until(lambda: running(apart) == 0, "no request runs")
    until(lambda: apart.requests(1)[0]["status"] == "cancelled", "its record is the newest")


@pytest.mark.parametrize("depth", [129, 900, 990])
def test_deep_json_does_not_travel(apart: System, proof: str, vendor: Wall, depth: int) -> None:
    body = b'{"model":"auto","messages":[{}],"x":' + b"[" * depth + b"]" * depth + b"}"
    assert ask(apart.url, post(CHAT, body, proof)).status == 400
    assert vendor.attempts() == []


def test_while_a_service_is_away_its_part_is_503_and_its_loss_mid_stream_a_clean_error(
    tmp_path: Path, running_wall: Wall, vendor: Wall
) -> None:
    house = contextlib.ExitStack()
    system = house.enter_context(separate(tmp_path))
    try:
        whole(system)
        system.provider(running_wall.url, "wall", ["small"])
        auth = f"Authorization: Bearer {system.key(target={'model': 'wall/small'})}"
        lose_two_services(system, auth, vendor)
    finally:
        with pytest.raises(AssertionError, match="providers ended with -9"):
            house.close()


def lose_two_services(system: System, auth: str, vendor: Wall) -> None:
    metrics, providers = service(system, "metrics"), service(system, "providers")
    vendor.script(HOLD)
    with Raw(system.url) as raw:
        raw.send(post(CHAT, STREAM, auth)).until(b"w2")
        metrics.suspend()
        try:
            providers.kill()
            assert b"[DONE]" not in raw.until(b'"error"')
            assert ask(system.url, post(CHAT, STREAM, auth)).status in (502, 503)
            got = ask(system.url, head("GET", "/admin/v1/providers", admin(system)))
            assert (got.status, got.header("content-type")) == (503, "application/problem+json")
            assert ask(system.url, head("GET", "/healthz")).status == 200
            assert ask(system.url, head("GET", "/v1/models", auth)).status == 200
        finally:
            metrics.resume()
    assert [item["status"] for item in system.requests(2) if item["stream"]] == ["failed", "failed"]
