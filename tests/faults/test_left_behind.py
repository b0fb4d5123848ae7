"""Every secret that was ever used, and whether it is in any file: stored, sent, refused, renewed, rotated, killed."""

import contextlib
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from shared.runtime.master_key import load_master_keys
from shared.testing.nats import free_port
from tests.support.leaks import found_in
from tests.support.oauth_server import CLIENT, OAuthServer, consent
from tests.support.rotating import Load, ask, rotate
from tests.support.system import Processes, System, Wall, embedded, environment, until, wall

CANARY = "sk-canary-of-what-is-left"
CLIENT_SECRET = "canary-of-the-clients-own-secret"
FROM_ENVIRONMENT = "sk-canary-from-the-environment"
BACK = "http://127.0.0.1:9/callback"
pytestmark = pytest.mark.faults


class Told:
    """Everything secret that was used, by what it is."""

    def __init__(self) -> None:
        self.secrets = {"credential": CANARY, "client's secret": CLIENT_SECRET, "environment's": FROM_ENVIRONMENT}

    def note(self, name: str, value: str) -> str:
        self.secrets[name] = value
        return value

    def masters(self, home: Path) -> None:
        for key in load_master_keys(home, {}).ring():
            self.note(f"master {len(self.secrets)}", key.hex())


def sign_in(system: System, server: OAuthServer, told: Told, **more: Any) -> None:
    body = {"client_id": CLIENT, "issuer": server.url, "scopes": ["models"], "redirect_uri": BACK, **more}
    begun = system.http.post("/providers/plan/oauth/start", json=body).raise_for_status().json()
    came = consent(begun["authorize_url"])
    told.note(f"code {len(told.secrets)}", came["code"])
    told.note(f"state {len(told.secrets)}", begun["state"])
    finish = {"state": begun["state"], "code": came["code"]}
    system.http.post("/providers/plan/oauth/finish", json=finish).raise_for_status()


def used(system: System, vendor: Wall, server: OAuthServer, told: Told) -> str:
    """Store, send, have refused, replace and renew; returns a key."""
    system.provider(vendor.url, "wall", ["small"])
    system.create("providers", slug="other", vendor="openai-compatible", base_url=f"{vendor.url}/v1", local=True)
    system.create("providers", slug="plan", vendor="openai-compatible", base_url=f"{server.url}/v1", local=True)
    system.http.put("/providers/wall/credentials", json={"value": told.note("first", f"{CANARY}-first")})
    key = told.note("key", system.key(target={"model": "wall/small"}, name="left"))
    until(lambda: ask(system.url, key) == 200, "the vendor answers")
    echo = f"Incorrect API key {CANARY}-first, you said {key}"
    refusal: dict[str, Any] = {"status": 401, "error": {"message": echo}, "headers": {"x-echo": CANARY}}
    vendor.script(refusal)
    assert ask(system.url, key) != 200
    vendor.reset()
    system.http.put("/providers/wall/credentials", json={"value": CANARY}).raise_for_status()
    trial = {"vendor": "openai-compatible", "base_url": f"{vendor.url}/v1", "local": True}
    system.http.post("/providers/test", json=trial | {"credential": told.note("tried", f"{CANARY}-tried")})

    sign_in(system, server, told)
    system.http.post("/models/refresh")
    until(lambda: "plan/m" in {item["id"] for item in system.items("models")}, "the plan's model is listed")
    planned = told.note("planned", system.key(target={"model": "plan/m"}, name="planned"))
    until(lambda: ask_plan(system, planned), "the plan answers")
    server.expire_all()
    until(lambda: ask_plan(system, planned), "its token is renewed")
    # a client that has a secret may not use one that its server does not know: the sign-in fails, the secret was sent
    with contextlib.suppress(Exception):
        sign_in(system, server, told, client_secret=CLIENT_SECRET)
    for what in ("master", "pepper"):
        system.http.post("/secrets/rotate", json={"what": what}).raise_for_status()
    [found] = [item for item in system.items("keys") if item["name"] == "planned"]
    told.note("rotated", system.http.post(f"/keys/{found['id']}/rotate", json={"grace_s": 3600}).json()["key"])
    return key


def ask_plan(system: System, key: str) -> bool:
    import httpx

    body = {"model": "plan/m", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{system.url}/v1/chat/completions", json=body, headers=headers, timeout=20).status_code == 200


def test_no_secret_that_was_used_is_in_any_file(tmp_path: Path) -> None:
    told, home = Told(), tmp_path / "home"
    home.mkdir()
    env = {"LOCALROUTER_LOG__LEVEL": "debug", "OPENAI_API_KEY": FROM_ENVIRONMENT}
    with wall(tmp_path, "small") as vendor, OAuthServer() as server:
        processes = Processes(tmp_path)
        processes.start("killed", ["services.embedded", "--json"], environment(home, free_port(), **env))
        said = processes.first_line("killed")
        told.note("first key", said["key"])
        told.note("token", (home / "admin-token").read_text().strip())
        told.masters(home)
        with System(said["url"], told.secrets["token"]) as system:
            key = used(system, vendor, server, told)
            told.masters(home)
            load = Load(system, key, CANARY)
            until(lambda: load.stored > 5, "there is load")
            rotating = threading.Thread(target=rotate, args=(system,), daemon=True)
            rotating.start()
            until(lambda: len((home / "master.key").read_text().split()) > 1 or not rotating.is_alive(), "it rotates")
            told.masters(home)
            processes.stop(signal.SIGKILL)
            rotating.join(20)
            load.join(20)
        found = found_in(home, told.secrets | tokens(server), "admin-token", "master.key")
        # the kill may have come while the keys were written: the next start removes what that left
        assert [each for each in found if not each.startswith(".master.key.")] == []

        with embedded(tmp_path, **env) as system:
            until(lambda: ask(system.url, key) == 200, "everything opens after the kill")
            until(lambda: ask_plan(system, told.secrets["planned"]), "the sign-in too")
            told.masters(home)
            system.command("backup", str(home / "backup.tar"))
            system.http.delete("/providers/plan/credentials").raise_for_status()
            for provider in ("wall", "other"):
                system.http.delete(f"/providers/{provider}/credentials").raise_for_status()
            secrets = told.secrets | tokens(server)
            assert len(secrets) >= 20
            assert found_in(home, secrets, "admin-token", "master.key") == [], "while it runs"
        assert found_in(home, secrets, "admin-token", "master.key") == [], "after it ended"
        for said_by in tmp_path.glob("*.err"):
            assert not [name for name, value in secrets.items() if value in said_by.read_text()], said_by


def tokens(server: OAuthServer) -> dict[str, str]:
    devices = {f"device {place}": code for place, code in enumerate(server.book.devices)}
    return devices | {f"token {place}": value for place, value in enumerate(server.secrets())}
