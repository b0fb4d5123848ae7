"""The whole stack of docker-compose.yml, up in an engine: built, started, looked at, taken down."""

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.testing.nats import free_port
from tests.compose.engine import Engine, run
from tests.compose.images import BASE, HERE, STAND_INS, build_stand_ins, import_base, stage

PROJECT = "localrouter-compose-test"
SERVICES = ("gateway", "router", "providers", "metrics")
TAG = "compose-test"
"""Of the images that are built: those of the same name stay as they are."""
PULLED_BASE = "python:3.13-slim"


@dataclass(frozen=True)
class Stack:
    """A project of Compose in a folder of its own."""

    engine: Engine
    files: tuple[Path, ...]
    folder: Path
    port: int

    @property
    def base(self) -> str:
        """The image that the services' images stand on."""
        return PULLED_BASE if len(self.files) == 1 else BASE

    def compose(self, *arguments: str, limit_s: float = 120, check: bool = True, **env: str) -> str:
        """Run one ``docker compose`` command and return what it printed."""
        command, environ = self._command(arguments, env)
        return run(command, env=environ, limit_s=limit_s, check=check)

    def pipe(self, *arguments: str, given: bytes = b"", limit_s: float = 120) -> subprocess.CompletedProcess[bytes]:
        """Run one ``docker compose`` command as a part of a pipe: ``given`` is what it reads."""
        command, environ = self._command(arguments, {})
        return subprocess.run(command, env=environ, input=given, capture_output=True, timeout=limit_s, check=False)

    def _command(self, arguments: Sequence[str], env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        files = [word for file in self.files for word in ("-f", str(file))]
        command = [self.engine.compose, "--progress", "plain", "-p", PROJECT, "--project-directory", str(self.folder)]
        given = {"LOCALROUTER_PORT": str(self.port), "LOCALROUTER_GRAFANA_PORT": "", "LOCALROUTER_VERSION": TAG}
        return [*command, *files, *arguments], self.engine.env(**{**given, **env})

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """Return what the engine knows of the containers that run, or ran."""
        ids = self.compose("ps", "--all", "--quiet", *services).split()
        return json.loads(self.engine.run("inspect", *ids)) if ids else []

    def logs(self, *services: str) -> str:
        """Return the last words of services."""
        return self.compose("logs", "--no-color", "--tail", "30", *services, check=False)

    def admin_token(self) -> str:
        """Return the admin token out of its volume, by a container that may read it."""
        command = ("run", "--rm", "--no-deps", "--entrypoint", "cat", "cli", "/run/localrouter/admin-token")
        return self.compose(*command).strip()

    def host_address(self) -> str:
        """Return this machine's address as containers see it."""
        return self.engine.run("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}").strip()


def health(container: dict[str, Any]) -> str:
    """Return a container's state in a word: healthy, starting, unhealthy, or where there is no check, its status."""
    state = container["State"]
    return state["Health"]["Status"] if "Health" in state else state["Status"]


def name(container: dict[str, Any]) -> str:
    """Return the service that a container belongs to."""
    return container["Config"]["Labels"]["com.docker.compose.service"]


def address(container: dict[str, Any]) -> str:
    """Return a container's address on the inner network."""
    networks: dict[str, Any] = container["NetworkSettings"]["Networks"]
    return next(network["IPAddress"] for key, network in networks.items() if key.endswith("_inside"))


@contextlib.contextmanager
def stack(engine: Engine, cache: Path) -> Iterator[Stack]:
    """Give a stack that was built and not yet started; afterwards nothing of it is left in the engine or elsewhere."""
    with tempfile.TemporaryDirectory(prefix="localrouter-stack-") as temporary:
        offline = not _pulls(engine)
        folder = stage(cache, Path(temporary) / "localrouter", offline=offline)
        files = [folder / "docker-compose.yml"]
        if offline:
            shutil.copy2(HERE / "override.yml", folder / "override.yml")
            files.append(folder / "override.yml")
        made = Stack(engine, tuple(files), folder, 3000 if engine.enter else free_port())
        try:
            if offline:
                import_base(engine, cache)
                build_stand_ins(engine, cache)
            made.compose("build", "--quiet", limit_s=900)
            yield made
        finally:
            made.compose("--profile", "*", "down", "--volumes", "--remove-orphans", limit_s=240, check=False)
            images = [f"localrouter/{service}:{TAG}" for service in (*SERVICES, "cli")]
            images += [*(f"localrouter-test/{other.name}" for other in STAND_INS), BASE] if offline else []
            engine.run("rmi", "--force", *images, check=False)


def _pulls(engine: Engine) -> bool:
    """Whether the engine can pull images."""
    try:
        engine.run("pull", "-q", "nats:2.15.1-alpine", limit_s=60)
    except (RuntimeError, subprocess.TimeoutExpired):
        return False
    return True


def until(condition: Any, what: str, limit_s: float) -> Any:
    """Return the first true value of ``condition``; raises TimeoutError."""
    deadline = time.monotonic() + limit_s
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s:.0f} s: {what}")
        time.sleep(0.1)
