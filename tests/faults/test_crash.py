"""kill -9 of the whole embedded process in the middle of streams: nothing a client saw complete is lost."""

import contextlib
import signal
import threading
from pathlib import Path

import httpx
import psutil
import pytest

from shared.testing.nats import free_port
from shared.testing.upstream_behaviour import hold
from tests.support.system import Processes, System, Wall, embedded, environment, until, wall

HELLO = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


class Client(threading.Thread):
    """A client that streams one answer and remembers how far it got."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(daemon=True)
        self.request_id = ""
        self.complete = False
        self.began = threading.Event()
        self._url, self._key = url, key
        self.start()

    def run(self) -> None:
        headers = {"authorization": f"Bearer {self._key}"}
        with (
            contextlib.suppress(httpx.TransportError),
            httpx.stream("POST", f"{self._url}/v1/chat/completions", json=HELLO, headers=headers) as answer,
        ):
            self.request_id = answer.headers["x-request-id"]
            for line in answer.iter_lines():
                self.began.set()
                self.complete = self.complete or line == "data: [DONE]"
        self.began.set()


def crash(folder: Path, vendor: Wall, key: str) -> tuple[list[Client], list[Client]]:
    """Start, let answers end and hold one in its middle, kill -9; returns the clients that ended and the one cut."""
    processes = Processes(folder)
    main = processes.start("crashed", ["services.embedded", "--json"], environment(folder / "home", free_port()))
    url = processes.first_line("crashed")["url"]
    ended = [Client(url, key) for _ in range(3)]
    for client in ended:
        client.join(20)
    vendor.script(hold(after=2))
    cut = Client(url, key)
    assert cut.began.wait(20)
    servers = [child for child in psutil.Process(main.pid).children(recursive=True) if "nats" in child.name()]
    processes.stop(signal.SIGKILL)
    assert servers
    until(lambda: not any(_alive(server) for server in servers), "nats-server is gone with its parent", 10)
    cut.join(20)
    vendor.release()
    vendor.reset()
    return ended, [cut]


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def crash_and_compare(folder: Path, times: int) -> None:
    ended: list[Client] = []
    cut: list[Client] = []
    (folder / "home").mkdir()
    with wall(folder, "small") as vendor:
        with embedded(folder) as system:
            system.provider(vendor.url, "wall", ["small"])
            key = system.key(target={"model": "wall/small"}, name="crash")
        for _ in range(times):
            more_ended, more_cut = crash(folder, vendor, key)
            ended += more_ended
            cut += more_cut
        with embedded(folder) as system:
            _compare(system, ended, cut)


def _compare(system: System, ended: list[Client], cut: list[Client]) -> None:
    assert all(client.complete for client in ended)
    assert not any(client.complete for client in cut)
    rows = {row["id"]: row["status"] for row in system.requests(len(ended) + len(cut))}
    listed = [row["id"] for row in system.items("requests")]
    assert len(listed) == len(set(listed)), "each request is there once"
    assert {client.request_id: rows.get(client.request_id) for client in ended} == {
        client.request_id: "succeeded" for client in ended
    }
    assert {client.request_id: rows.get(client.request_id) for client in cut} == {
        client.request_id: "interrupted" for client in cut
    }
    assert len(listed) == len(ended) + len(cut)


def test_after_kill_9_complete_answers_are_in_the_ledger_once_and_the_cut_one_is_interrupted(tmp_path: Path) -> None:
    crash_and_compare(tmp_path, times=2)


@pytest.mark.faults
def test_the_same_after_twenty_crashes_of_one_folder(tmp_path: Path) -> None:
    crash_and_compare(tmp_path, times=20)


def test_a_second_start_on_the_same_folder_is_refused_and_the_first_one_goes_on(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        second = Processes(tmp_path)
        process = second.start("second", ["services.embedded"], environment(tmp_path / "home", free_port()))
        assert process.wait(20) == 1
        process.communicate()
        said = (tmp_path / "second.err").read_text()
        assert "Traceback" not in said
        assert "home" in said
        assert system.http.get("/health").status_code == 200
