"""Sign-ins as their users meet them: the command line, requests, restarts, and what is left where."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.providers.adapters.oauth_sessions import OAuthSessions
from services.providers.domain.oauth import AuthServer, Session
from shared.log.nats import NatsLog
from shared.log.port import LEASES, SECRETS
from shared.log.secrets import SecretStore
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.master_key import load_master_keys
from shared.testing.nats import free_port
from tests.support.oauth_server import CLIENT, OAuthServer
from tests.support.system import ROOT, Processes, System, embedded, environment, until

HELLO = {"model": "plan/m", "messages": [{"role": "user", "content": "Hello"}]}


BROWSER = f"""{sys.executable} -c 'import httpx, sys; httpx.get(sys.argv[1], follow_redirects=True)' %s &"""
"""A person who consents at once."""


def ask(system: System, key: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{system.url}/v1/chat/completions", json=HELLO, headers=headers, timeout=20)


def found_in(folder: Path, secrets: list[str]) -> list[str]:
    """Return the files below ``folder`` that hold any of ``secrets``, in letters or in hex."""
    needles = [value.encode() for value in secrets]
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    ]


def test_signed_in_renewed_restarted_rotated_and_removed_and_nothing_is_left_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER", BROWSER)
    with OAuthServer() as server:
        login = ("--client-id", CLIENT, "--issuer", server.url, "--scope", "models")
        with embedded(tmp_path) as system:
            system.create("providers", slug="plan", vendor="openai-compatible", base_url=f"{server.url}/v1", local=True)
            assert system.command("providers", "login", "plan", *login)["status"] == "done"
            system.http.post("/models/refresh")
            until(lambda: "plan/m" in {item["id"] for item in system.items("models")}, "the model is listed")
            key = system.key(target={"model": "plan/m"}, name="signed-in")
            until(lambda: ask(system, key).status_code == 200, "the provider is well again")
            server.expire_all()  # earlier than the server had said
            assert ask(system, key).status_code == 200
            assert server.book.refreshes == 1
            assert system.command("secrets", "rotate", "master")["rewrapped"] >= 2
            old_key = key
            assert system.command("secrets", "rotate", "pepper")["id"].startswith("pepper-")
            key = system.key(target={"model": "plan/m"}, name="new-pepper")
            assert [ask(system, value).status_code for value in (old_key, key)] == [200, 200]
        with embedded(tmp_path) as system:
            assert [ask(system, value).status_code for value in (old_key, key)] == [200, 200]
            assert server.book.refreshes == 1, "the session outlives the process"
            signed_in = system.http.get("/providers/plan").json()["credentials"]
            assert len(signed_in) == 1
            assert system.http.delete("/providers/plan/credentials").status_code == 204
            assert all(token.revoked for token in server.book.tokens)
            assert ask(system, key).status_code >= 400
            with person_who_types(server):
                assert system.command("providers", "login", "plan", "--device", *login)["status"] == "done"
            until(lambda: ask(system, key).status_code == 200, "the device's sign-in is used")
        secrets = [*server.secrets(), key, old_key]
        assert len(secrets) >= 8
        assert found_in(tmp_path, secrets) == []


@contextlib.contextmanager
def person_who_types(server: OAuthServer) -> Generator[None]:
    """A person who types in the code of a device as soon as there is one."""

    def type_in() -> None:
        until(lambda: server.book.devices, "a device asks")
        server.book.approved.update(str(device["user_code"]) for device in server.book.devices.values())

    person = threading.Thread(target=type_in)
    person.start()
    yield
    person.join()


def test_fifty_calls_in_four_processes_renew_an_expired_token_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = environment(home, free_port())
    processes = Processes(tmp_path)
    with OAuthServer() as server:
        first = asyncio.run(_first_session(server))
        processes.start("nats", ["tests.support.nats_host", str(home)], env)
        try:
            nats = processes.first_line("nats")
            env |= {"LOCALROUTER_NATS__URL": nats["url"], "LOCALROUTER_NATS__PASSWORD": nats["users"]["providers"]}
            asyncio.run(_store(env, first))
            callers = [_caller(env, count) for count in (13, 13, 12, 12)]
            said = [_answer(caller, "ready") for caller in callers]
            assert said == [True] * 4
            for caller in callers:
                assert caller.stdin is not None
                caller.stdin.write("go\n")
                caller.stdin.flush()
            tokens = [_answer(caller, "tokens") for caller in callers]
            for caller in callers:
                caller.communicate(timeout=20)
                assert caller.returncode == 0
        finally:
            processes.stop()
        assert server.book.refreshes == 1
        assert server.book.grants.count("refresh_token") == 1
        assert tokens == [[server.book.tokens[-1].access_token]] * 4


def _caller(env: dict[str, str], count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.support.oauth_caller", str(count)]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _answer(caller: "subprocess.Popen[str]", member: str) -> Any:
    assert caller.stdout is not None
    for line in caller.stdout:
        if line.startswith("{") and member in (said := json.loads(line)):
            return said[member]
    raise AssertionError(f"no {member} was said")


async def _first_session(server: OAuthServer) -> Session:
    """A sign-in whose access token has ended."""
    async with httpx.AsyncClient() as http:
        device = (await http.post(f"{server.url}/device", data={"client_id": CLIENT, "scope": "models"})).json()
        server.book.approved.add(device["user_code"])
        grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": CLIENT}
        tokens = (await http.post(f"{server.url}/token", data=grant | {"device_code": device["device_code"]})).json()
    now = SYSTEM_CLOCK.now().timestamp()
    where = AuthServer(client_id=CLIENT, token_url=f"{server.url}/token", local=True)
    server.expire_all()
    return Session(
        server=where,
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
        issued_at=now - 7200,
        expires_at=now - 3600,
    )


async def _store(env: dict[str, str], session: Session) -> None:
    log = await NatsLog.connect(
        env["LOCALROUTER_NATS__URL"], user="providers", password=env["LOCALROUTER_NATS__PASSWORD"], name="providers"
    )
    secrets = SecretStore(log.bucket(SECRETS), load_master_keys(Path(env["LOCALROUTER_HOME"]), env))
    sessions = OAuthSessions(secrets, log.bucket(LEASES), _Nobody(), clock=SYSTEM_CLOCK, new_id=new_id)
    await sessions.save("credential-oauth-s", session, context="c")
    await log.close()


class _Nobody:
    """No server is asked here."""

    async def refresh(self, session: Session) -> Any:
        raise AssertionError

    async def revoke(self, session: Session) -> bool:
        raise AssertionError
