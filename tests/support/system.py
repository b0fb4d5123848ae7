"""A whole LocalRouter as its users meet it: real processes, real ports, a data folder of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec

from shared.testing.nats import free_port
from shared.testing.upstream_behaviour import Behaviour
from shared.testing.upstream_dialects import is_completion

ROOT = Path(__file__).parents[2]
LIMIT_S = 30.0


def until(condition: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """Return the first true value of ``condition``, asked again and again; raises TimeoutError."""
    deadline = time.monotonic() + limit_s
    while True:
        with contextlib.suppress(httpx.TransportError):
            value = condition()
            if value:
                return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s} s: {what}")
        time.sleep(0.02)


def environment(home: Path, port: int, **more: str) -> dict[str, str]:
    """Return an environment in which nothing of this machine's own is found: no vendor's key, no Ollama."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    kept = {name: value for name, value in kept.items() if not name.startswith("LOCALROUTER_")}
    return {
        **kept,
        "HOME": str(home),
        "LOCALROUTER_HOME": str(home),
        "LOCALROUTER_SERVER__PORT": str(port),
        "PYTHONPATH": str(ROOT),
        **more,
    }


class System:
    """A running LocalRouter: its address and its admin API."""

    def __init__(self, url: str, admin_token: str) -> None:
        self.url = url
        self._admin_token = admin_token
        self.http = httpx.Client(
            base_url=f"{url}/admin/v1", headers={"authorization": f"Bearer {admin_token}"}, timeout=20
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def key(self, **fields: Any) -> str:
        """Make a key and return its value."""
        return self.create("keys", **fields)["key"]

    def create(self, resource: str, **fields: Any) -> dict[str, Any]:
        """Create something."""
        made = self.http.post(f"/{resource}", json=fields)
        assert made.status_code == 201, made.text
        return made.json()

    def provider(self, url: str, slug: str, models: list[str]) -> dict[str, Any]:
        """Add an OpenAI-compatible provider and wait until its models are in every service."""
        options = {"models": models}
        return self.vendor(slug, "openai-compatible", f"{url}/v1", models, local=True, options=options)

    def vendor(
        self, slug: str, vendor: str, url: str, models: list[str], *, credential: str = "", **fields: Any
    ) -> dict[str, Any]:
        """Add a provider of any vendor and wait until ``models`` are in every service."""
        made = self.create("providers", slug=slug, vendor=vendor, base_url=url, **fields)
        if credential:
            self.http.put(f"/providers/{slug}/credentials", json={"value": credential}).raise_for_status()
        wanted = {f"{slug}/{name}" for name in models}
        until(lambda: wanted <= {item["id"] for item in self.items("models")}, f"the models of {slug}")
        return made

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return a list, whole."""
        items: list[dict[str, Any]] = []
        cursor = None
        while True:
            answer = self.http.get(f"/{path}", params={"limit": 500} | ({"cursor": cursor} if cursor else {}))
            assert answer.status_code == 200, answer.text
            page = answer.json()
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items

    def command(self, *arguments: str) -> Any:
        """Run the command line against this system and return the JSON that it prints."""
        given = {"LOCALROUTER_URL": self.url, "LOCALROUTER_ADMIN_TOKEN": self._admin_token, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "services.cli", *arguments, "--json"]
        done = subprocess.run(command, env=dict(os.environ) | given, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def requests(self, count: int) -> list[dict[str, Any]]:
        """Return the usage records, newest first, once there are ``count`` of them."""
        return until(lambda: (found := self.items("requests")) and len(found) >= count and found, f"{count} requests")

    def request(self, request_id: str | None) -> dict[str, Any]:
        """Return the usage record of one request, by the ``x-request-id`` of its answer, once it is there."""
        assert request_id, "the answer names no request"

        def found() -> dict[str, Any] | None:
            answer = self.http.get(f"/requests/{request_id}")
            return answer.json() if answer.status_code == 200 else None

        return until(found, f"the record of request {request_id}")


class Processes:
    """Processes that are started together and ended together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, arguments: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
        """Start a Python module; its stderr goes to a file."""
        with (self.folder / f"{name}.err").open("a") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.running[name] = process
        return process

    def first_line(self, name: str) -> dict[str, Any]:
        """Return the JSON that a process says first; what it logs before is passed over."""
        output = self.running[name].stdout
        assert output is not None
        for line in output:
            if line.startswith("{"):
                return json.loads(line)
        raise AssertionError(f"{name} said nothing: {(self.folder / f'{name}.err').read_text()}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End all of them, last started first; raises when one does not end properly."""
        wrong: list[str] = []
        for name, process in reversed(list(self.running.items())):
            process.send_signal(how)
            code = process.wait(LIMIT_S)
            if process.stdout is not None:
                process.stdout.close()
            if how == signal.SIGTERM and name != "nats" and code != 0:
                wrong.append(f"{name} ended with {code}: {(self.folder / f'{name}.err').read_text()}")
        self.running.clear()
        assert not wrong, "\n".join(wrong)


@contextlib.contextmanager
def embedded(folder: Path, *arguments: str, **env: str) -> Iterator[System]:
    """Run everything in one process, as `localrouter up` does."""
    processes = Processes(folder)
    port = free_port()
    home = folder / "home"
    home.mkdir(exist_ok=True)
    processes.start("embedded", ["services.embedded", "--json", *arguments], environment(home, port, **env))
    try:
        said = processes.first_line("embedded")
        with System(said["url"], (home / "admin-token").read_text().strip()) as system:
            yield system
    finally:
        processes.stop()


@contextlib.contextmanager
def separate(folder: Path, **env: str) -> Iterator[System]:
    """Run each service in a process of its own, over NATS and HTTP."""
    processes = Processes(folder)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    port = free_port()
    base = environment(home, port, **env)
    try:
        processes.start("nats", ["tests.support.nats_host", str(home)], base)
        nats = processes.first_line("nats")
        ports = {name: free_port() for name in ("router", "providers", "metrics")}
        base |= {f"LOCALROUTER_SERVICES__{name.upper()}_PORT": str(number) for name, number in ports.items()}
        base |= {
            f"LOCALROUTER_SERVICES__{name.upper()}_URL": f"http://127.0.0.1:{number}" for name, number in ports.items()
        }
        base |= {"LOCALROUTER_NATS__URL": nats["url"], "LOCALROUTER_SERVICE_TOKEN": "the-service-token"}
        for name in ("router", "providers", "metrics", "gateway"):
            own = {"LOCALROUTER_NATS__PASSWORD": nats["users"][name]}
            if name == "gateway":
                own |= copying(nats["users"], "backup")
            processes.start(name, [f"services.{name}"], base | own)
        url = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            for name, process in processes.running.items():
                assert process.poll() is None, f"{name} ended: {(folder / f'{name}.err').read_text()}"
            return httpx.get(f"{url}/readyz").status_code == 200

        until(ready, "the gateway is ready")
        with System(url, (home / "admin-token").read_text().strip()) as system:
            until(lambda: system.http.get("/health").json()["status"] == "ok", "every service is ready")
            yield system
    finally:
        processes.stop()


def copying(users: dict[str, str], user: str) -> dict[str, str]:
    """Return what names the user that copies streams."""
    return {"LOCALROUTER_NATS__BACKUP_USER": user, "LOCALROUTER_NATS__BACKUP_PASSWORD": users[user]}


class Wall:
    """The scripted vendor in a process of its own, told and asked over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def script(self, *behaviours: Behaviour, model: str = "*", repeat: bool = False) -> None:
        """Say what the next attempts do."""
        order = msgspec.json.encode({"model": model, "behaviours": behaviours, "repeat": repeat})
        self._http.post("/__script", content=order).raise_for_status()

    def attempts(self) -> list[dict[str, Any]]:
        """Return every completion that was asked of it."""
        found = self._http.get("/__attempts").json()
        return [attempt for attempt in found if is_completion(attempt["path"])]

    def release(self) -> None:
        """Let held answers go on."""
        self._http.post("/__release").raise_for_status()

    def reset(self) -> None:
        """Forget scripts and attempts."""
        self._http.post("/__reset").raise_for_status()


@contextlib.contextmanager
def wall(folder: Path, models: str = "small,large", host: str | None = None, port: int = 0) -> Iterator[Wall]:
    """Run the scripted vendor; ``host``: an address that those who ask it reach, LOCALROUTER_E2E_WALL or loopback."""
    host = host or os.environ.get("LOCALROUTER_E2E_WALL", "127.0.0.1")
    processes = Processes(folder)
    arguments = ["shared.testing.upstream", "--models", models, "--host", host, "--log", str(folder / "wall.jsonl")]
    arguments += ["--port", str(port)]
    process = processes.start("wall", arguments, dict(os.environ))
    try:
        assert process.stdout is not None
        with Wall(process.stdout.readline().strip()) as running:
            yield running
    finally:
        processes.stop(signal.SIGKILL)
