"""Many at once: floods of wrong keys, readers that do not read, browsers of strangers, two starts on one folder."""

import threading
import uuid
from pathlib import Path

import psutil
import pytest

from shared.testing.nats import free_port
from tests.support.raw_http import CHAT, Raw, ask, head, post, running
from tests.support.system import Processes, System, Wall, environment, until

HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**HELLO, "stream": True}
MIB = 1024 * 1024


def test_a_flood_of_wrong_keys_is_answered_and_counted_but_not_written_out(system: System, auth: str) -> None:
    before = len(system.items("requests"))
    flood = post(CHAT, HELLO, "Authorization: Bearer lr-wrong")
    with Raw(system.url) as raw:
        for _ in range(500):
            assert raw.send(flood).answer().status == 401
    assert ask(system.url, post(CHAT, HELLO, auth)).status == 200
    newest = until(lambda: (found := system.items("requests")) and found[0]["status"] == "succeeded" and found, "it")
    assert len(newest) - before < 100


def test_readers_that_do_not_read_cost_little_memory_and_nobody_else(system: System, auth: str, vendor: Wall) -> None:
    (process,) = {
        psutil.Process(item.pid)
        for item in psutil.net_connections("tcp")
        if item.status == "LISTEN" and item.laddr.port == int(system.url.rpartition(":")[2]) and item.pid
    }
    vendor.script({"text": ("x" * 20_000 + " ") * 500}, model="large", repeat=True)
    slow = f"Authorization: Bearer {system.key(target={'model': 'wall/large'})}"
    readers = [Raw(system.url).send(post(CHAT, STREAM, slow)) for _ in range(8)]
    before = process.memory_info().rss
    try:
        for reader in readers:
            reader.until(b"data: ")
        for _ in range(30):
            assert ask(system.url, post(CHAT, HELLO, auth)).status == 200
        assert process.memory_info().rss - before < 40 * MIB
        assert b"data: [DONE]\n\n" in readers[0].rest()
    finally:
        for reader in readers:
            reader.reset()
    until(lambda: running(system) == 0, "no request runs")


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1@evil.example", "file://",
     "http://evil.example#localhost", "http://[::1", "", "chrome-extension://localhost", "http://127.0.0.1.nip.io"],
)  # fmt: skip
@pytest.mark.parametrize("path", [CHAT, "/admin/v1/keys", "/v1/models"])
def test_a_page_of_a_stranger_is_refused_and_told_nothing(
    system: System, auth: str, vendor: Wall, origin: str, path: str
) -> None:
    line = f"Authorization: {system.http.headers['authorization']}" if "admin" in path else auth
    before = len(system.items("keys"))
    for request in (
        post(path, HELLO, line, f"Origin: {origin}", "Content-Type: text/plain"),
        head("GET", path, line, f"Origin: {origin}"),
        head("OPTIONS", path, f"Origin: {origin}", "Access-Control-Request-Method: POST"),
    ):
        got = ask(system.url, request)
        assert got.status == 403
        assert got.header("access-control-allow-origin") is None
    assert vendor.attempts() == []
    assert len(system.items("keys")) == before


def test_an_own_page_may_call_without_credentials_of_the_browser(system: System, auth: str, vendor: Wall) -> None:
    got = ask(system.url, post(CHAT, STREAM, auth, "Origin: http://localhost:5173"))
    assert got.status == 200
    assert got.header("access-control-allow-origin") == "http://localhost:5173"
    assert got.header("access-control-allow-credentials") is None
    assert len(vendor.attempts()) == 1


def test_a_request_id_that_is_used_twice_is_two_requests(system: System, auth: str, vendor: Wall) -> None:
    before = len(system.items("requests"))
    mine = str(uuid.uuid4())
    request = post(CHAT, HELLO, auth, f"X-Request-Id: {mine}")
    with Raw(system.url) as raw:
        raw.send(request + request)
        assert [raw.answer().header("x-request-id") for _ in range(2)] == [mine, mine]
    first, second = system.requests(before + 2)[:2]
    assert first["id"] != second["id"]
    got = ask(system.url, post(CHAT, HELLO, auth, "X-Request-Id: not-a-uuid"))
    assert got.header("x-request-id") != "not-a-uuid"
    assert len(vendor.attempts()) == 3


def test_keys_that_are_made_and_deleted_while_they_are_used_end_in_401(system: System, vendor: Wall) -> None:
    made = system.create("keys", target={"model": "wall/small"})
    request = post(CHAT, HELLO, f"Authorization: Bearer {made['key']}")
    seen: list[int] = []
    deleted = threading.Event()

    def use() -> None:
        while not (deleted.is_set() and seen and seen[-1] == 401):
            seen.append(ask(system.url, request).status)

    users = [threading.Thread(target=use, daemon=True) for _ in range(4)]
    for user in users:
        user.start()
    until(lambda: 200 in seen, "the key is used")
    assert system.http.delete(f"/keys/{made['id']}").status_code in (200, 204)
    deleted.set()
    for user in users:
        user.join(10)
    assert set(seen) == {200, 401}
    assert ask(system.url, request).status == 401


@pytest.mark.parametrize("again", [0, *(pytest.param(more, marks=pytest.mark.faults) for more in range(1, 10))])
def test_of_two_starts_on_an_empty_folder_one_wins_and_the_other_says_so(tmp_path: Path, again: int) -> None:
    both = Processes(tmp_path)
    names = ["one", "two"]
    for name in names:
        both.start(name, ["services.embedded", "--json"], environment(tmp_path / "home", free_port()))
    loser = until(lambda: [name for name in names if both.running[name].poll() is not None], "one gives up")[0]
    (winner,) = (name for name in names if name != loser)
    try:
        said = both.first_line(winner)
        assert ask(said["url"], head("GET", "/v1/models", f"Authorization: Bearer {said['key']}")).status == 200
        assert both.running.pop(loser).communicate()[0] == ""
        reason = (tmp_path / f"{loser}.err").read_text()
        assert reason.startswith("localrouter: ")
        assert "Traceback" not in reason
    finally:
        both.stop()
