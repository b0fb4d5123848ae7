"""kill -9 of the whole process while the master key is rotated under load: everything is readable afterwards."""

import signal
import threading
import time
from pathlib import Path

import pytest

from shared.testing.nats import free_port
from tests.support.rotating import Load, ask, rotate
from tests.support.system import Processes, System, Wall, embedded, environment, until, wall

CANARY = "sk-canary-of-the-rotation-test"


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
    # more: a secret is stored before the event that names it, and one that a kill left without is swept later
    assert system.command("secrets", "rotate", "master")["rewrapped"] >= len(listed) + 2


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
                load = Load(system, key, CANARY)
                until(lambda: load.stored > 2, "there is load")  # noqa: B023  asked at once
                rotating = threading.Thread(target=rotate, args=(system,), daemon=True)
                rotating.start()
                time.sleep(wait_ms / 1_000)
                processes.stop(signal.SIGKILL)
                rotating.join(20)
                load.join(20)
                assert set(load.answers) <= {200}, "no request failed for the rotation"
            with embedded(tmp_path) as system:
                _all_readable(system, key)
                assert len((tmp_path / "home" / "master.key").read_text().split()) == 1


@pytest.mark.faults
def test_rotations_one_after_the_other_under_load_lose_no_request(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with wall(tmp_path, "small") as vendor:
        key = _prepared(tmp_path, vendor)
        with embedded(tmp_path) as system:
            load = Load(system, key, CANARY)
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
