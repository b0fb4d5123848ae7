"""kill -9 of the whole process while the master key is rotated under load: everything is readable afterwards."""

import contextlib
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from shared.testing.nats import free_port
from tests.support.system import Processes, System, Wall, embedded, environment, until, wall

HELLO = {"model": "wall/small", "messages": [{"role": "user", "content": "Hello"}]}
CANARY = "sk-canary-of-the-rotation-test"


def ask(url: str, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{url}/v1/chat/completions", json=HELLO, headers=headers, timeout=20).status_code


class Load(threading.Thread):
    """Requests, and credentials that are stored, until it is told to stop or nobody answers."""

    def __init__(self, system: System, key: str) -> None:
        super().__init__(daemon=True)
        self.answers: list[int] = []
        self.stored = 0
        self.enough = threading.Event()
        self._system, self._key = system, key
        self.start()

    def run(self) -> None:
        with contextlib.suppress(httpx.TransportError):
            while not self.enough.is_set():
                self.answers.append(ask(self._system.url, self._key))
                body = {"value": f"{CANARY}-{self.stored}", "name": f"n{self.stored % 5}"}
                if self._system.http.put("/providers/other/credentials", json=body).status_code == 200:
                    self.stored += 1


def _prepared(folder: Path, vendor: Wall) -> str:
    with embedded(folder) as system:
        system.provider(vendor.url, "wall", ["small"])
        system.http.put("/providers/wall/credentials", json={"value": CANARY}).raise_for_status()
        system.create("providers", slug="other", vendor="openai-compatible", base_url=f"{vendor.url}/v1", local=True)
        key = system.key(target={"model": "wall/small"}, name="rotation")
        until(lambda: ask(system.url, key) == 200, "the vendor answers")
        return key


def _all_readable(system: System, key: str) -> None:
    until(lambda: ask(system.url, key) == 200, "the key and the credential open")
    listed = system.http.get("/providers/other").json()["credentials"]
    assert system.command("secrets", "rotate", "master")["rewrapped"] == len(listed) + 2


@pytest.mark.faults
def test_killed_at_any_moment_of_a_rotation_under_load_everything_is_readable(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with wall(tmp_path, "small") as vendor:
        key = _prepared(tmp_path, vendor)
        for wait_ms in (0, 3, 8, 15, 30, 60, 120):
            processes = Processes(tmp_path)
            processes.start("killed", ["services.embedded", "--json"], environment(tmp_path / "home", free_port()))
            said = processes.first_line("killed")
            with System(said["url"], (tmp_path / "home" / "admin-token").read_text().strip()) as system:
                load = Load(system, key)
                until(lambda: load.stored > 2, "there is load")  # noqa: B023  asked at once
                rotating = threading.Thread(target=_rotate, args=(system,), daemon=True)
                rotating.start()
                time.sleep(wait_ms / 1_000)
                processes.stop(signal.SIGKILL)
                rotating.join(20)
                load.join(20)
                assert set(load.answers) <= {200}, "no request failed for the rotation"
            with embedded(tmp_path) as system:
                _all_readable(system, key)
                assert len((tmp_path / "home" / "master.key").read_text().split()) == 1


def _rotate(system: System) -> None:
    with contextlib.suppress(httpx.TransportError):
        system.http.post("/secrets/rotate", json={"what": "master"})


@pytest.mark.faults
def test_rotations_one_after_the_other_under_load_lose_no_request(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with wall(tmp_path, "small") as vendor:
        key = _prepared(tmp_path, vendor)
        with embedded(tmp_path) as system:
            load = Load(system, key)
            for _ in range(5):
                for what in ("master", "pepper"):
                    answer = system.http.post("/secrets/rotate", json={"what": what})
                    assert answer.status_code == 200, answer.text
            load.enough.set()
            load.join(20)
            assert set(load.answers) == {200}
            assert load.stored > 0
            _all_readable_after_peppers(system, key)


def _all_readable_after_peppers(system: System, key: str) -> None:
    assert ask(system.url, key) == 200
    assert ask(system.url, system.key(target={"model": "wall/small"}, name="newest")) == 200
    assert system.command("secrets", "rotate", "master")["rewrapped"] >= 7
