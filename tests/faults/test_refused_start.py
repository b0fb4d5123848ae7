"""A service that must not start says why in one sentence, and ends with 1."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.testing.nats import free_port
from tests.support.system import ROOT, environment


def start(home: Path, **env: str) -> tuple[int, str, float]:
    """Start a router; returns its exit code, what it said, and how long it took."""
    began = time.monotonic()
    given = {"LOCALROUTER_NATS__URL": f"nats://127.0.0.1:{free_port()}", "LOCALROUTER_SERVICE_TOKEN": "t", **env}
    command = [sys.executable, "-m", "services.router"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(home, free_port(), **given), capture_output=True, text=True, timeout=30
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr, time.monotonic() - began


def test_nats_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    code, said, took = start(tmp_path, LOCALROUTER_NATS__WAIT_S="3")
    assert code == 1
    assert "waiting for NATS" in said
    assert "no NATS server answers at nats://127.0.0.1:" in said
    assert 3 < took < 10


@pytest.mark.parametrize("variable", ["LOCALROUTER_NATS__PASSWORD_FILE", "LOCALROUTER_SERVICE_TOKEN_FILE"])
def test_a_secret_that_is_missing_is_named(tmp_path: Path, variable: str) -> None:
    token = "" if variable.startswith("LOCALROUTER_SERVICE") else "t"
    code, said, took = start(tmp_path, **{"LOCALROUTER_SERVICE_TOKEN": token, variable: str(tmp_path / "gone")})
    assert code == 1
    assert "gone cannot be read: No such file or directory" in said
    assert took < 5


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, said, _ = start(tmp_path / "file" / "home")
    assert code == 1
    assert f"the data folder {tmp_path}/file/home cannot be made: Not a directory" in said
