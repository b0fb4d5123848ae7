"""Starting, stopping and standing without its parts: one process, as its operator meets it."""

import contextlib
import hashlib
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from shared.testing.nats import free_port
from tests.support.raw_http import CHAT, Raw, ask, head, post, running
from tests.support.system import Processes, System, Wall, embedded, environment, until

STREAM = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
WHOLE = {**STREAM, "stream": False}
HOLD = {"text": " ".join(f"w{index}" for index in range(10)), "events": 10, "fault": "hold", "after": 3}


@dataclass(frozen=True)
class House:
    """A running process, its system and a key for the vendor."""

    process: subprocess.Popen[str]
    system: System
    auth: str
    errors: Path

    def nats(self) -> psutil.Process:
        """Return its nats-server."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return next(child for child in children if "nats-server" in child.name())


@contextlib.contextmanager
def house(folder: Path, vendor: Wall, **env: str) -> Iterator[House]:
    """Run everything; whatever is left of it at the end is killed."""
    processes = Processes(folder)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    env = environment(home, free_port(), **env)
    process = processes.start("house", ["services.embedded", "--json"], env)
    try:
        said = processes.first_line("house")
        with System(said["url"], (home / "admin-token").read_text().strip()) as system:
            if not any(item["slug"] == "wall" for item in system.items("providers")):
                system.provider(vendor.url, "wall", ["small"])
            until(lambda: any(item["id"] == "wall/small" for item in system.items("models")), "the vendor's model")
            key = system.key(target={"model": "wall/small"})
            yield House(process, system, f"Authorization: Bearer {key}", folder / "house.err")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def refused(folder: Path, *arguments: str, env: dict[str, str]) -> str:
    """Start and return what was said; it must end with 1 and without a traceback."""
    with (folder / "refused.err").open("w+") as errors:
        processes = Processes(folder)
        process = processes.start("refused", ["services.embedded", *arguments], env)
        try:
            assert process.wait(30) == 1
        finally:
            process.kill()
            process.communicate()
        said = Path(errors.name).read_text()
    assert "Traceback" not in said
    return said


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def refuses_new(system: System, auth: str) -> bool:
    try:
        return ask(system.url, post(CHAT, WHOLE, auth)).status == 503
    except (ConnectionError, AssertionError, httpx.TransportError):
        return True


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.faults)])
def test_on_a_signal_a_running_stream_ends_whole_and_nothing_new_begins(
    tmp_path: Path, vendor: Wall, how: signal.Signals
) -> None:
    vendor.script(HOLD)
    with house(tmp_path, vendor) as found:
        nats = found.nats()
        with Raw(found.system.url) as raw, Raw(found.system.url) as idle:
            assert idle.send(head("GET", "/healthz")).answer().status == 200
            raw.send(post(CHAT, STREAM, found.auth)).until(b"w2")
            found.process.send_signal(how)
            until(lambda: refuses_new(found.system, found.auth), "new requests are refused")
            assert idle.closed()
            assert found.process.poll() is None
            vendor.release()
            rest = raw.until(b"[DONE]")
            assert b"w9" in rest
            assert b"error" not in rest
        assert found.process.wait(10) == 0
        assert gone(nats)
        assert len(vendor.attempts()) == 1
        assert "Traceback" not in found.errors.read_text()
    vendor.reset()
    with house(tmp_path, vendor) as again:
        assert [item["status"] for item in again.system.requests(1) if item["stream"]] == ["succeeded"]


def test_a_second_signal_ends_it_fast_with_the_partial_record(tmp_path: Path, vendor: Wall) -> None:
    vendor.script(HOLD)
    with house(tmp_path, vendor) as found:
        nats = found.nats()
        with Raw(found.system.url) as raw:
            raw.send(post(CHAT, STREAM, found.auth)).until(b"w2")
            found.process.send_signal(signal.SIGTERM)
            until(lambda: refuses_new(found.system, found.auth), "new requests are refused")
            found.process.send_signal(signal.SIGTERM)
            assert found.process.wait(8) == 0
            assert b"[DONE]" not in raw.socket.makefile("rb").read()
        assert gone(nats)
        assert "Traceback" not in found.errors.read_text()
    until(lambda: vendor.attempts()[0]["closed_at"], "the socket upstream is closed")
    with house(tmp_path, vendor) as again:
        (record,) = [item for item in again.system.requests(1) if item["stream"]]
        assert record["status"] == "interrupted"
        assert record["tokens"]["output"] >= 3


def test_an_answer_that_outlasts_its_grace_is_interrupted(tmp_path: Path, vendor: Wall) -> None:
    vendor.script(HOLD)
    with house(tmp_path, vendor, LOCALROUTER_SERVER__SHUTDOWN_GRACE_S="1") as found:
        with Raw(found.system.url) as raw:
            raw.send(post(CHAT, STREAM, found.auth)).until(b"w2")
            found.process.send_signal(signal.SIGTERM)
            assert found.process.wait(10) == 0
            assert b"[DONE]" not in raw.socket.makefile("rb").read()
        assert "Traceback" not in found.errors.read_text()
    with house(tmp_path, vendor) as again:
        assert [item["status"] for item in again.system.requests(1)] == ["interrupted"]


def test_a_signal_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    processes = Processes(tmp_path)
    process = processes.start("early", ["services.embedded", "--json"], environment(home, free_port()))
    parent = psutil.Process(process.pid)
    (nats,) = until(lambda: [item for item in parent.children() if "nats-server" in item.name()], "nats-server starts")
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    process.communicate()
    until(lambda: gone(nats), "nats-server is gone")
    with embedded(tmp_path) as system:
        assert system.http.get("/health").status_code == 200


def test_a_taken_port_is_named_and_nothing_stays(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(tmp_path, env=environment(tmp_path / "home", port))
    assert f"127.0.0.1:{port}" in said
    assert "LOCALROUTER_SERVER__PORT" in said
    with embedded(tmp_path) as system:
        assert system.http.get("/health").status_code == 200


def test_a_second_start_on_a_folder_is_refused_by_name_and_the_first_is_unharmed(tmp_path: Path, vendor: Wall) -> None:
    with house(tmp_path, vendor) as found:
        said = refused(tmp_path, env=environment(tmp_path / "home", free_port()))
        assert f"in use by process {found.process.pid}" in said
        assert ask(found.system.url, post(CHAT, WHOLE, found.auth)).status == 200
        assert len(found.system.requests(1)) == 1


def test_every_mistake_of_a_settings_file_is_named_at_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "localrouter.yaml").write_text("version: 1\nserver:\n  port: many\n  hots: x\nlog:\n  level: loud\n")
    env = environment(home, 1)
    del env["LOCALROUTER_SERVER__PORT"]
    said = refused(tmp_path, env=env)
    for mistake in ("localrouter.yaml:3", "server.port", "server.hots", "log.level"):
        assert mistake in said
    assert not (home / "nats").exists()


@pytest.mark.parametrize(
    "text",
    ["{", "a: [", "- 1", "\t- x", "version: 99", "!!python/object/apply:os.system [id]", "\x00", "é: " * 3, "&a [*a]"],
)
def test_a_settings_file_that_is_no_settings_file_is_refused(tmp_path: Path, text: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "localrouter.yaml").write_text(text)
    assert "localrouter.yaml" in refused(tmp_path, env=environment(home, free_port()))
    assert (home / "localrouter.yaml").read_text() == text


@pytest.mark.parametrize(
    "variable",
    [
        {"LOCALROUTER_SERVER__PORT": "many"},
        {"LOCALROUTER_SERVER__PROT": "3000"},
        {"LOCALROUTER_SERVER__HOST": "203.0.113.1"},
        {"LOCALROUTER_SERVER__HOST": "no such host"},
        {"LOCALROUTER_MASTER_KEY": "short"},
        {"LOCALROUTER_MASTER_KEY_FILE": "/nowhere/at/all"},
        {"LOCALROUTER_ADMIN_TOKEN_FILE": "/nowhere/at/all"},
        {"LOCALROUTER_HOME": "/dev/null/home"},
        {"LOCALROUTER_DATABASE__URL": "nonsense"},
    ],
    ids=str,
)
def test_a_wrong_variable_is_one_sentence(tmp_path: Path, variable: dict[str, str]) -> None:
    said = refused(tmp_path, env=environment(tmp_path / "home", free_port()) | variable)
    sentence = [line for line in said.splitlines() if "WARNING master_key: made a master key" not in line]
    assert sentence[0].startswith("localrouter: ")
    assert " WARNING " not in "".join(sentence)


def test_a_wrong_master_key_changes_not_a_byte(tmp_path: Path, vendor: Wall) -> None:
    with house(tmp_path, vendor) as found:
        assert ask(found.system.url, post(CHAT, WHOLE, found.auth)).status == 200
        found.process.send_signal(signal.SIGTERM)
        found.process.wait(20)
    store = tmp_path / "home" / "nats"
    before = digests(store)
    env = environment(tmp_path / "home", free_port(), LOCALROUTER_MASTER_KEY="0" * 64)
    assert "master key" in refused(tmp_path, env=env)
    assert digests(store) == before
    with house(tmp_path, vendor) as again:
        assert len(again.system.requests(1)) == 1
        assert ask(again.system.url, post(CHAT, WHOLE, found.auth)).status == 200


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_while_nats_is_away_answers_go_on_and_their_usage_comes_later(tmp_path: Path, vendor: Wall, how: str) -> None:
    with house(tmp_path, vendor) as found:
        nats = found.nats()
        if how == "killed":
            nats.kill()
        else:
            nats.suspend()
        try:
            for _ in range(5):
                assert ask(found.system.url, post(CHAT, STREAM, found.auth)).body.endswith(b"data: [DONE]\n\n")
            if how == "stopped":
                got = found.system.http.post("/keys", json={"name": "while away"})
                assert got.status_code == 503, got.text
                assert got.headers["content-type"] == "application/problem+json"
        finally:
            if how == "stopped":
                nats.resume()
        assert len(found.system.requests(5)) == 5
        until(lambda: found.system.http.get(f"{found.system.url}/readyz").status_code == 200, "it is ready again")
        made: list[Any] = []
        until(
            lambda: made.append(found.system.http.post("/keys", json={"name": "back"})) or made[-1].status_code == 201,
            "keys can be made again",
        )
        assert running(found.system) == 0


def test_what_it_says_first_is_one_line_of_json_with_a_key_that_works(tmp_path: Path) -> None:
    home = tmp_path / "home"
    processes = Processes(tmp_path)
    env = environment(home, free_port())
    process = processes.start("first", ["services.embedded", "--json"], env)
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert ask(said["url"], head("GET", "/v1/models", f"Authorization: Bearer {said['key']}")).status == 200
    finally:
        processes.stop()
    assert {item.stat().st_mode & 0o077 for item in (home / "admin-token", home / "master.key")} == {0}
