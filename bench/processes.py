"""Starts what is measured, each in a process of its own on a free port of loopback, and weighs it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

ROOT = Path(__file__).parents[1]
MOCK = Path(__file__).with_name("mock_upstream")


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def call(url: str, body: Any = None, *, token: str | None = None, limit_s: float = 30) -> Any:
    """Ask loopback (POST when there is a body) and return the decoded answer; raises HTTPError with its body noted."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else msgspec.json.encode(body)
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=limit_s) as answer:
            return msgspec.json.decode(answer.read())
    except urllib.error.HTTPError as error:
        error.add_note(error.read().decode(errors="replace"))
        raise


@contextlib.contextmanager
def process(command: list[str], environ: dict[str, str] | None = None) -> Generator[subprocess.Popen[str]]:
    """Run a command in a session of its own; ends it and everything that it started."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | (environ or {})
    child = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(timeout=40)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        assert child.stdout is not None
        child.stdout.close()


def first_line(child: subprocess.Popen[str]) -> str:
    """Return the first line that a process prints; raises RuntimeError when it ends without one."""
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise RuntimeError(f"{child.args!r} ended with {child.wait()} and said nothing")
    return line.strip()


@contextlib.contextmanager
def mock_upstream() -> Generator[tuple[int, int]]:
    """Run the mock upstream and return its port and process id."""
    command = [str(MOCK)] if MOCK.exists() else [sys.executable, "-m", "bench.mock_upstream"]
    with process(command) as child:
        yield int(first_line(child)), child.pid


@contextlib.contextmanager
def bare_proxy(upstream_port: int) -> Generator[tuple[int, int]]:
    """Run the bare proxy in front of the mock upstream and return its port and process id."""
    upstream = f"http://127.0.0.1:{upstream_port}"
    with process([sys.executable, "-m", "bench.bare_proxy", "--upstream", upstream]) as child:
        port = int(first_line(child))
        wait(lambda: _connects(port), 10)
        yield port, child.pid


def cpu_seconds(process_id: int) -> float:
    """Return the CPU time that a process and everything below it took so far."""
    return sum(_cpu_seconds(member) for member in _members(process_id))


def _cpu_seconds(member: psutil.Process) -> float:
    """Return what a process took, its ended threads included: to the nanosecond where the kernel has a clock for it.

    On Linux that clock's id is made from the process's (clock_getcpuclockid(3)); what ``/proc`` tells in steps of 10 ms
    is a sample taken at ticks, which misses or overrates what only wakes up for a moment.
    """
    if sys.platform == "linux":
        return time.clock_gettime(~member.pid << 3 | 2)
    times = member.cpu_times()
    return times.user + times.system


def _members(process_id: int) -> list[psutil.Process]:
    parent = psutil.Process(process_id)
    return [parent, *parent.children(recursive=True)]


@dataclass(frozen=True)
class Running:
    """LocalRouter while it runs."""

    child: subprocess.Popen[str]
    port: int
    url: str
    admin_token: str
    started_s: float
    """From starting the process to the first 200 of ``/readyz``."""

    def admin(self, path: str, body: Any = None) -> Any:
        """Ask the admin API."""
        return call(f"{self.url}/admin/v1/{path}", body, token=self.admin_token)

    def pss_mb(self) -> float:
        """Return the memory of all its processes, shared pages divided, in MB."""
        return sum(member.memory_full_info().pss for member in _members(self.child.pid)) / 1e6

    def cpu_percent(self, seconds: float) -> float:
        """Return the CPU that all its processes take together over some seconds, in per cent of one core."""
        before = cpu_seconds(self.child.pid)
        time.sleep(seconds)
        return (cpu_seconds(self.child.pid) - before) / seconds * 100


@contextlib.contextmanager
def localrouter(home: Path, *, module: str = "services.embedded") -> Generator[Running]:
    """Run LocalRouter, embedded, with its data in ``home``; ``module`` is what is run for it."""
    port = free_port()
    environ = {"LOCALROUTER_HOME": str(home), "LOCALROUTER_SERVER__PORT": str(port)}
    start = time.perf_counter()
    with process([sys.executable, "-m", module, "--json"], environ) as child:
        url = f"http://127.0.0.1:{port}"
        wait(lambda: child.poll() is not None or _ready(url), 30)
        started_s = time.perf_counter() - start
        said = msgspec.json.decode(first_line(child))
        token = Path(said["admin_token_file"]).read_text().strip()
        yield Running(child, port, url, token, started_s)


def _ready(url: str) -> bool:
    try:
        return call(url + "/readyz", limit_s=2)["status"] == "ready"
    except OSError:
        return False


def _connects(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait(condition: Callable[[], bool], limit_s: float, *, pause_s: float = 0.005) -> None:
    """Wait until a condition holds, asked again after each pause; raises TimeoutError."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not after {limit_s} s")
        time.sleep(pause_s)
