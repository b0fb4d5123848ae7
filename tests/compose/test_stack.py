"""The stack in real containers: well, closed, quick to come back, and with every request in its ledger once."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.compose.load import Load
from tests.compose.stack import SERVICES, TAG, Stack, address, health, name, until
from tests.support.system import System, Wall, wall

pytestmark = pytest.mark.compose

ROOT = Path(__file__).parents[2]
ONE_SHOTS = {"bootstrap", "streams"}
BACK_S = 10.0
ON_THE_WAY = {"gateway", "providers"}
"""What a request passes through; with any other container away, no request fails."""


def running(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the containers that are to run, by service."""
    return {name(one): one for one in stack.containers() if name(one) not in ONE_SHOTS}


def rendered(stack: Stack, **env: str) -> dict[str, dict[str, Any]]:
    """Return the services of every profile as Compose understands them."""
    return json.loads(stack.compose("--profile", "*", "config", "--format", "json", **env))["services"]


def test_compose_finds_nothing_wrong_with_the_file(built: Stack) -> None:
    built.compose("config", "--quiet")
    built.compose("--profile", "*", "config", "--quiet")
    for service, one in rendered(built).items():
        assert one["read_only"], service
        assert one["cap_drop"] == ["ALL"], service
        assert one.get("cap_add", []) == (["NET_BIND_SERVICE"] if service == "edge" else []), service
        assert one["security_opt"] == ["no-new-privileges:true"], service
        assert not one.get("privileged"), service
        assert int(one["mem_limit"]) > 0, service
        assert one["pids_limit"] > 0, service
        assert one.get("user", "image's").partition(":")[0] not in ("", "0", "root"), service
        assert all(port["host_ip"] == "127.0.0.1" for port in one.get("ports", [])), service


def test_what_is_published_is_published_where_it_is_told_to_be(built: Stack) -> None:
    opened = rendered(built, LOCALROUTER_PUBLISH="192.0.2.7", LOCALROUTER_PORT="8080", LOCALROUTER_GRAFANA_PORT="8081")
    published = {
        name: [(port["host_ip"], port["published"], port["target"]) for port in one["ports"]]
        for name, one in opened.items()
        if "ports" in one
    }
    assert published.pop("edge") == [("192.0.2.7", "3443", 3443)]
    assert published.pop("gateway") == [("192.0.2.7", "8080", 3000)]
    assert published.pop("grafana", [("192.0.2.7", "8081", 3000)]) == [("192.0.2.7", "8081", 3000)]
    assert published == {}


def test_all_are_healthy_and_the_one_shots_ended_well(stack: Stack) -> None:
    assert {service: health(one) for service, one in running(stack).items()} == dict.fromkeys(running(stack), "healthy")
    assert {*SERVICES, "nats", "postgres", "prometheus", "alertmanager"} <= set(running(stack))
    ended = {name(one): one["State"]["ExitCode"] for one in stack.containers(*ONE_SHOTS)}
    assert ended == dict.fromkeys(ONE_SHOTS, 0)


def test_the_images_are_small(stack: Stack) -> None:
    def size(image: str) -> float:
        return int(stack.engine.run("image", "inspect", "--format", "{{.Size}}", image)) / 1e6

    base = stack.base
    added = {service: size(f"localrouter/{service}:{TAG}") - size(base) for service in (*SERVICES, "cli")}
    print(f"\nadded to a base of {size(base):.0f} MB: { {service: f'{mb:.0f} MB' for service, mb in added.items()} }")
    assert added["gateway"] < 120


def test_a_running_container_may_do_nothing_but_its_work(stack: Stack) -> None:
    for service, one in running(stack).items():
        host = one["HostConfig"]
        assert one["Config"]["User"].partition(":")[0] not in ("", "0", "root"), service
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert not host["CapAdd"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["Memory"] > 0, service
        assert host["PidsLimit"] > 0, service
    for service in SERVICES:
        status = stack.compose("exec", "-T", service, "cat", "/proc/1/status")
        assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE), service
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE), service
        assert re.search(r"^Uid:\s+10001\s", status, re.MULTILINE), service
        touched = stack.compose("exec", "-T", service, "sh", "-c", "touch /app/x 2>&1 || true")
        assert "Read-only file system" in touched, service


def test_only_the_gateway_and_grafana_are_published_and_on_loopback(stack: Stack) -> None:
    published = {
        service: [
            binding["HostIp"] for bindings in one["NetworkSettings"]["Ports"].values() for binding in bindings or []
        ]
        for service, one in running(stack).items()
    }
    wanted = {service: ["127.0.0.1"] for service in ("gateway", "grafana") if service in published}
    assert {service: addresses for service, addresses in published.items() if addresses} == wanted


def test_internal_routes_want_the_service_token(stack: Stack, system: System) -> None:
    admin = {"authorization": system.http.headers["authorization"]}
    for service, port in (("router", 3001), ("providers", 3002), ("metrics", 3003)):
        url = f"http://{address(running(stack)[service])}:{port}"
        assert httpx.get(f"{url}/healthz").status_code == 200
        for path in ("/readyz", "/metrics", "/admin/v1/usage", "/internal/v1/complete"):
            assert httpx.get(f"{url}{path}").status_code == 401
            assert httpx.get(f"{url}{path}", headers=admin).status_code == 401


WRITE = """
import asyncio, sys
from shared.log.nats_connection import Connection
from shared.kernel.errors import LocalRouterError
async def main(user, subject):
    password = open("/run/localrouter/nats-password").read().strip()
    connection = Connection("nats://nats:4222", user=user, password=password, name="test")
    try:
        await connection.open(5)
        await connection.request(subject, b"{}")
        print("written")
    except LocalRouterError as error:
        print("refused:", error)
    finally:
        await connection.close()
asyncio.run(main(*sys.argv[1:]))
"""


def test_each_service_writes_its_own_subjects_of_the_log_only(stack: Stack) -> None:
    def write(service: str, user: str, subject: str) -> str:
        return stack.compose("exec", "-T", service, "python", "-c", WRITE, user, subject)

    assert "permissions violation" in write("router", "router", "lr.config.key.x").lower()
    assert "permissions violation" in write("metrics", "metrics", "lr.usage.gateway-1").lower()
    assert "permissions violation" in write("gateway", "gateway", "$JS.API.STREAM.DELETE.LR_USAGE").lower()
    assert "permissions violation" in write("gateway", "gateway", "$JS.API.STREAM.SNAPSHOT.LR_USAGE").lower()
    assert "permissions violation" in write("providers", "providers", "lr.config.key.x").lower()
    assert "permissions violation" in write("providers", "providers", "$JS.API.STREAM.PURGE.LR_CONFIG").lower()
    for user in ("gateway", "backup", "restore", "bootstrap", "system"):
        assert "authorization" in write("router", user, "lr.config.key.x").lower()


def test_nats_says_nothing_of_itself_to_others(stack: Stack) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{address(running(stack)['nats'])}:8222/varz")


def test_prometheus_reads_every_service_with_the_service_token(stack: Stack) -> None:
    url = f"http://{address(running(stack)['prometheus'])}:9090/api/v1/targets"

    def up() -> bool:
        targets = httpx.get(url).json()["data"]["activeTargets"]
        states = {target["scrapeUrl"]: target["health"] for target in targets}
        return len(states) == 1 + len(SERVICES) and set(states.values()) == {"up"}

    until(up, "every target is up", 60)


def test_the_gateway_said_how_to_get_the_first_key_and_the_command_does_it(stack: Stack) -> None:
    assert "docker compose run --rm cli keys create" in stack.compose("logs", "--no-color", "gateway")
    made = stack.compose("run", "--rm", "cli", "keys", "create", "--name", "by-hand")
    key = re.search(r"lr-[\w-]{43}", made)
    assert key, made
    models = httpx.get(f"http://127.0.0.1:{stack.port}/v1/models", headers={"authorization": f"Bearer {key[0]}"})
    assert models.status_code == 200
    status = json.loads(stack.compose("run", "--rm", "cli", "status", "--json"))
    assert (status["ready"], status["health"]["status"]) == (True, "ok"), status


def test_an_ollama_of_this_machine_is_found(stack: Stack, system: System, tmp_path: Path) -> None:
    with wall(tmp_path, "qwen3:4b", host=stack.host_address(), port=11434):
        until(
            lambda: (
                system.http.post("/models/refresh").is_success
                and any(item["id"] == "ollama/qwen3:4b" for item in system.items("models"))
            ),
            "its models are known",
            30,
        )
        key = system.key(name="for ollama", target={"model": "ollama/qwen3:4b"})
        body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
        headers = {"authorization": f"Bearer {key}"}
        url = f"{system.url}/v1/chat/completions"

        def asked() -> str | None:
            said = httpx.post(url, json=body, headers=headers, timeout=30)
            return said.headers["x-request-id"] if said.status_code == 200 else None

        assert system.request(until(asked, "it is asked", 60))["provider"] == "ollama"


def test_the_end_to_end_suite_from_inside_the_network(stack: Stack, system: System) -> None:
    environ = dict(
        os.environ,
        LOCALROUTER_E2E_URL=system.url,
        LOCALROUTER_E2E_WALL=stack.host_address(),
        LOCALROUTER_ADMIN_TOKEN=stack.admin_token(),
    )
    # the others of the suite start a LocalRouter of their own, and are no affair of this one
    command = [sys.executable, "-m", "pytest", "tests/e2e", "-k", "given", "-m", "not live and not model"]
    command += ["-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=600, check=False)
    print(f"\n{done.stdout.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def kill(stack: Stack, service: str) -> None:
    """End a container's first process as a crash would, so that the engine starts it again."""
    try:
        os.kill(running(stack)[service]["State"]["Pid"], signal.SIGKILL)
    except (PermissionError, ProcessLookupError):  # not ours to kill, or in a machine of the engine's own
        stack.compose("kill", service)
        stack.compose("start", service)


def restarted(stack: Stack, service: str, old: str) -> None:
    """Wait until the engine started a container again."""
    until(lambda: running(stack)[service]["State"]["StartedAt"] != old, f"{service} is started again", 30)


def healthy(stack: Stack, service: str) -> None:
    """Wait until the engine finds a container healthy."""
    until(lambda: health(running(stack)[service]) == "healthy", f"{service} is healthy", 60)


def well(system: System) -> bool:
    """Whether the gateway and all others say that they are."""
    return system.http.get("/health").json()["status"] == "ok"


def asked_after(load: Load, moment: float) -> bool:
    """Whether a request that began after a moment ended well."""
    return any(one.complete and one.at > moment for one in list(load.outcomes))


def test_a_kill_of_any_container_fails_its_own_requests_only_and_nothing_is_lost_or_counted_twice(
    stack: Stack, system: System, vendor: Wall, key: dict[str, Any]
) -> None:
    told: list[str] = []
    with Load([system.url], key["key"]) as load:
        until(lambda: len(load.outcomes) > 20, "the load runs", 20)
        for service in sorted(running(stack)):
            before, old = time.monotonic(), running(stack)[service]["State"]["StartedAt"]
            kill(stack, service)
            restarted(stack, service, old)
            until(lambda: _tried(lambda: well(system)), f"{service} is back", 60)
            until(lambda: asked_after(load, time.monotonic() - 0.5), "requests are answered", 30)
            back = time.monotonic() - before
            healthy(stack, service)
            failed = load.failed(before)
            told.append(f"{service}: back after {back:.1f} s, {len(failed)} requests failed")
            assert service in ON_THE_WAY or not failed, f"{service}: {failed[:3]}"
            assert back < BACK_S, told[-1]
    print("\n" + "\n".join(told))
    _join(load, system, vendor, key["name"])


def _tried(question: Any) -> bool:
    try:
        return question()
    except (httpx.TransportError, ValueError, KeyError):
        return False


def _join(load: Load, system: System, vendor: Wall, key: str) -> None:
    """Compare what the clients saw, what the vendor was asked and what the ledger says."""
    at_the_vendor = {
        found[0]
        for attempt in vendor.attempts()
        if (found := re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(attempt["body"])))
    }
    complete = {one.id for one in load.outcomes if one.complete}
    assert complete <= at_the_vendor

    def whole() -> list[dict[str, Any]] | None:
        rows = [row for row in system.items("requests") if row["key_name"] == key]
        return rows if at_the_vendor <= {row["tags"]["load"] for row in rows} else None

    rows = until(whole, "everything that the vendor was asked is in the ledger", 60)
    ids = [row["tags"]["load"] for row in rows]
    assert len(ids) == len(set(ids)), "nothing twice"
    assert set(ids) <= {one.id for one in load.outcomes}
    status = {row["tags"]["load"]: row["status"] for row in rows}
    assert {status[one] for one in complete} == {"succeeded"}
    print(f"{len(load.outcomes)} asked, {len(complete)} answered", end=", ")
    print(f"{len(at_the_vendor)} at the vendor, {len(ids)} in the ledger")


def test_three_gateways_behind_tls_share_the_ledger_and_what_a_lost_one_left_is_shipped_by_another(
    stack: Stack, system: System, key: dict[str, Any]
) -> None:
    stack.compose(
        *("--profile", "edge", "up", "--detach", "--wait", "--wait-timeout", "120"),
        *("--no-recreate", "--scale", "gateway=3"),
        limit_s=150,
        LOCALROUTER_PORT="",
    )
    gateways = stack.containers("gateway")
    assert len(gateways) == 3
    urls = [*(f"http://{address(one)}:3000" for one in gateways), "https://localhost:3443"]
    with Load(urls, key["key"], clients=3) as load:
        until(lambda: len(load.outcomes) > 60, "the load runs", 30)
        assert load.failed(0) == []
        stack.engine.run("kill", gateways[-1]["Id"])  # what an operator ends stays ended
        stack.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "gateway=1", limit_s=150)
    complete = {one.id for one in load.outcomes if one.complete}

    def rows() -> list[str] | None:
        found = system.items("requests")
        answered = [row for row in found if row["key_name"] == key["name"] and row["status"] == "succeeded"]
        ids = [row["tags"]["load"] for row in answered]
        return ids if complete <= set(ids) else None

    ids = until(rows, "all that were answered are in the ledger", 90)
    assert len(ids) == len(set(ids))
    journals = stack.compose("exec", "-T", "gateway", "ls", "/data/journal").split()
    assert journals == ["gateway-1", "gateway-2", "gateway-3"]


def test_no_secret_is_in_what_the_containers_say(stack: Stack) -> None:
    said = stack.compose("logs", "--no-color", limit_s=60)
    command = ("run", "--rm", "--no-deps", "--entrypoint", "sh", "bootstrap", "-c", "cat /secrets/all/*")
    secrets = stack.compose(*command).split()
    assert len(secrets) >= 11
    assert [secret for secret in secrets if secret in said] == []


def test_a_store_with_another_key_is_not_started(stack: Stack) -> None:
    change = "cp /nats/store/key-check /nats/store/kept && echo 0123456789abcdef > /nats/store/key-check"
    back = "cp /nats/store/kept /nats/store/key-check && rm /nats/store/kept"
    shell = ("run", "--rm", "--no-deps", "--entrypoint", "sh", "bootstrap", "-c")
    stack.compose(*shell, change)
    try:
        said = stack.compose("run", "--rm", "--no-deps", "bootstrap", check=False)
        stack.compose("restart", "nats", check=False)
        until(lambda: "restore volumes from the same backup" in stack.logs("nats"), "nats-server is refused", 20)
        assert said == ""
    finally:
        stack.compose(*shell, back)
    healthy(stack, "nats")
