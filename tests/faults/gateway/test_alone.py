"""The gateway while those around it are gone: no request fails, and a restart needs nobody to serve."""

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from services.gateway.projections.keys import KeyRing
from shared.log.snapshots import SnapshotStore
from tests.support.raw_http import CHAT, ask, head, post
from tests.support.system import ROOT, System, Wall, separate, until

HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
WHILE_AWAY = 40
"""Requests that are answered after each loss."""


class House:
    """Four services over NATS, of which one after another is ended."""

    def __init__(self, system: System, wall: Wall, home: Path) -> None:
        self.system = system
        self._snapshots = SnapshotStore(home / "snapshots" / "gateway")
        system.provider(wall.url, "wall", ["small", "large"])
        order = {"mode": "manual", "models": ["wall/small", "wall/large"]}
        router = system.create("routers", name="Both", order=order)["slug"]
        made = until(
            lambda: (got := system.http.post("/keys", json={"target": {"router": router}})).status_code == 201 and got,
            "a key",
        )
        self.auth = f"Authorization: Bearer {made.json()['key']}"
        until(lambda: self.answers() == 200, "the plan is there")
        until(self._has_kept_the_key, "a snapshot holds the key")

    def _has_kept_the_key(self) -> bool:
        kept, ring = self._snapshots.load("keys"), KeyRing()
        if kept is not None:
            ring.load(kept.state)
        return len(ring) == 1

    def answers(self, *, stream: bool = False) -> int:
        """Ask once; return the status."""
        return ask(self.system.url, post(CHAT, HELLO | {"stream": stream}, self.auth)).status

    def process(self, module: str) -> psutil.Process:
        """Return one of its processes."""
        port = self.system.url.rpartition(":")[2]
        for child in psutil.Process(os.getpid()).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if module in child.cmdline() and child.environ()["LOCALROUTER_SERVER__PORT"] == port:
                    return child
        raise AssertionError(f"no {module} runs")

    def kill_nats(self) -> psutil.Process:
        """Kill nats-server; returns its host, which brings it back once it is resumed."""
        host = self.process("tests.support.nats_host")
        host.suspend()
        for server in host.children():
            server.kill()
        return host


@pytest.fixture
def house(tmp_path: Path, running_wall: Wall, vendor: Wall) -> Iterator[House]:
    """A house of its own: it is torn down."""
    stack = contextlib.ExitStack()
    system = stack.enter_context(separate(tmp_path))
    try:
        yield House(system, running_wall, tmp_path / "home")
    finally:
        with pytest.raises(AssertionError, match="ended with -9"):
            stack.close()


class Load:
    """Requests one after another on a few threads, whole and streamed, until it is stopped."""

    def __init__(self, house: House) -> None:
        self.statuses: list[int] = []
        self._house = house
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(bool(number % 2),)) for number in range(4)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self) -> None:
        """Wait for so many more answers."""
        enough = len(self.statuses) + WHILE_AWAY
        until(lambda: len(self.statuses) >= enough, "the gateway goes on answering")

    def _run(self, stream: bool) -> None:
        while not self._over.is_set():
            self.statuses.append(self._house.answers(stream=stream))


@pytest.mark.faults
def test_no_request_fails_while_one_after_another_is_killed_and_a_restart_serves_from_snapshots(house: House) -> None:
    with Load(house) as load:
        load.goes_on()
        for module in ("services.router", "services.metrics"):
            house.process(module).kill()
            load.goes_on()
        host = house.kill_nats()
        load.goes_on()
    assert set(load.statuses) == {200}

    gateway = house.process("services.gateway")
    command, environment = gateway.cmdline(), gateway.environ()
    gateway.kill()
    gateway.wait()
    again = subprocess.Popen(command, env=environment, cwd=ROOT)
    try:
        until(lambda: httpx.get(f"{house.system.url}/healthz").status_code == 200, "it is up without its log")
        assert [house.answers(stream=stream) for stream in (False, True)] == [200, 200]
        ready = ask(house.system.url, head("GET", "/readyz"))
        assert ready.status == 503
        assert b"as it was last known" in ready.body
        wrong = ask(house.system.url, post(CHAT, HELLO, "Authorization: Bearer lr-wrong"))
        assert wrong.status == 401
        host.resume()
        until(lambda: httpx.get(f"{house.system.url}/readyz").status_code == 200, "it has caught up with its log")
        assert house.answers() == 200
    finally:
        host.resume()
        again.terminate()
        assert again.wait(30) == 0
