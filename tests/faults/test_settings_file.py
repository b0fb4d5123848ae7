import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.runtime.settings_file import load_settings, read_settings, save_settings

WRITERS = 20
CHANGE = """
import sys
from pathlib import Path
from shared.runtime.settings_file import save_settings
path, number = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for round in range(5):
    save_settings(path, {"server.port": 4000 + number, "gateway.id": f"writer-{number}"})
"""
START = """
import os, sys
from pathlib import Path
from shared.runtime.settings_file import load_settings
print("ready", flush=True)
sys.stdin.readline()
load_settings(Path(sys.argv[1]), {})
"""


def started(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def run_together(processes: list[subprocess.Popen[str]]) -> list[int]:
    """Let all go at once, when each is ready."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    return [process.returncode for process in processes]


def test_twenty_writers_at_once_never_damage_the_file(tmp_path: Path):
    load_settings(tmp_path, {})
    path = tmp_path / "localrouter.yaml"
    comments = [line for line in path.read_text().splitlines() if "#" in line]
    processes = [started(CHANGE, str(path), str(number)) for number in range(WRITERS)]
    assert run_together(processes) == [0] * WRITERS
    settings = read_settings(tmp_path, {})
    assert settings.gateway.id == f"writer-{settings.server.port - 4000}", "one writer's change is whole or not there"
    assert [line for line in path.read_text().splitlines() if "#" in line] == comments
    backup = tmp_path / "localrouter.yaml.bak"
    backup.replace(path)
    read_settings(tmp_path, {})
    assert {item.name for item in tmp_path.iterdir()} == {"localrouter.yaml", "localrouter.yaml.lock"}


def test_twenty_first_starts_and_twenty_migrations_at_once_agree(tmp_path: Path):
    assert run_together([started(START, str(tmp_path)) for _ in range(WRITERS // 2)]) == [0] * (WRITERS // 2)
    (tmp_path / "localrouter.yaml").write_text("host: 0.0.0.0\nport: 4000\n")
    assert run_together([started(START, str(tmp_path)) for _ in range(WRITERS // 2)]) == [0] * (WRITERS // 2)
    assert read_settings(tmp_path, {}).server.port == 4000
    assert (tmp_path / "localrouter.yaml.bak").read_text() == "host: 0.0.0.0\nport: 4000\n", "migrated once"


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_a_writer_that_is_killed_leaves_a_whole_file_and_no_lock(tmp_path: Path):
    load_settings(tmp_path, {})
    path = tmp_path / "localrouter.yaml"
    endless = CHANGE.replace("range(5)", "iter(int, 1)")
    for number in range(5):
        process = started(endless, str(path), str(number))
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write("\n")
        process.stdin.flush()
        deadline = time.monotonic() + 20
        while read_settings(tmp_path, {}).gateway.id != f"writer-{number}":
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert read_settings(tmp_path, {}).gateway.id == f"writer-{number}"
    save_settings(path, {"server.port": 5000})
    assert read_settings(tmp_path, {}).server.port == 5000
