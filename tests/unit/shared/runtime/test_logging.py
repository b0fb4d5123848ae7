import json
import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from shared.kernel.secrets import Secret
from shared.runtime.log_file import MAX_WAITING, Line, LogWriter, RotatingFile
from shared.runtime.logging import Logging, configure_logging
from shared.runtime.settings import Log

LARGE = 10_000_000


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Logging]:
    before = logging.getLogger().level
    running = configure_logging(Log(), tmp_path, service="gateway")
    yield running
    running.close()
    structlog.reset_defaults()
    logging.getLogger().setLevel(before)


@pytest.fixture
def lines(started: Logging, tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    def read() -> list[dict[str, Any]]:
        started.flush()
        return [json.loads(line) for line in (tmp_path / "localrouter.log").read_text().splitlines()]

    return read


def test_an_event_is_one_line_of_json_with_time_level_service_and_values(lines: Callable[[], list[dict[str, Any]]]):
    structlog.get_logger("walk").info("attempt", provider="openai", status=200)
    (line,) = lines()
    time = line.pop("time")
    assert msgspec.convert(time, type=datetime)
    assert len(time) == len("2026-01-01T00:00:00.000Z")
    assert list(line) == ["level", "service", "logger", "event", "provider", "status"]
    assert line == {
        "level": "info",
        "service": "gateway",
        "logger": "walk",
        "event": "attempt",
        "provider": "openai",
        "status": 200,
    }


def test_credentials_are_masked_wherever_they_are(
    lines: Callable[[], list[dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    hidden = "abcdefgh12345678"
    structlog.get_logger("x").error(
        f"with sk-{hidden} in it",
        secret_value=Secret(hidden),
        nested={"inner": [Secret(hidden)], "authorization": f"Bearer {hidden}"},
        body=f'{{"api_key": "{hidden}"}}',
        raw=f'{{"password": "{hidden}"}}'.encode(),
        password="short",
        exc_info=ValueError(f"api_key={hidden}"),
    )
    assert len(lines()) == 1
    assert hidden not in (tmp_path / "localrouter.log").read_text()
    assert "short" not in (tmp_path / "localrouter.log").read_text()
    assert hidden not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x", "sk-abcdefgh12345678"),
        ("x", "Bearer abcdefgh12345678"),
        ("client-secret", "0123456789abcdef"),
        ("api_key", "0123456789abcdef"),
        ("x", '"api_key": "0123456789abcdef"'),
        ("x", "api_key: 0123456789abcdef"),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
def test_a_credential_is_masked_each_time(lines: Callable[[], list[dict[str, Any]]], name: str, text: str, times: int):
    for _ in range(times):
        structlog.get_logger("x").info("with a value", count=1, **{name: text})
    written = lines()
    assert len(written) == times
    assert all("***" in line[name] and "12345678" not in line[name] for line in written)


def test_values_without_secrets_stand_as_they_are(lines: Callable[[], list[dict[str, Any]]]):
    values: dict[str, Any] = {
        "request": "019a0000-aaaa-7bbb-8ccc-0123456789ab",
        "word": "größer",
        "quoted": 'a "b" \\ c',
        "control": "a\nb\x1b[1m",
        "torn": "a\ud800b",
        "none": None,
        "yes": True,
        "huge": 10**30,
        "part": 1.5,
        "empty": "",
        "long": "a" * 1_000,
    }
    for name, value in values.items():
        structlog.get_logger("x").bind(provider="p").info("one", **{name: value})
    written = lines()
    assert {name: line[name] for line, name in zip(written, values, strict=True)} == {**values, "torn": "a?b"}
    assert {line["provider"] for line in written} == {"p"}


def test_warnings_are_shown_to_people_and_the_rest_is_not(
    started: Logging, lines: Callable[[], list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
):
    log = structlog.get_logger("prober")
    log.info("quiet")
    log.warning("probe failed", provider="groq", error="timed out \x1b[31m")
    assert len(lines()) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "WARNING prober: probe failed provider=groq error='timed out \\x1b[31m'" in shown


def test_an_exception_is_structured_on_one_line_without_variables(lines: Callable[[], list[dict[str, Any]]]):
    password = "hunter2-hunter2"
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ExceptionGroup("outer", [ValueError("one"), OSError("two")]) from error
    except ExceptionGroup:
        structlog.get_logger("x").exception("went wrong")
    (line,) = lines()
    assert line["level"] == "error"
    exception = line["exception"]
    assert (exception["type"], exception["cause"]["type"]) == ("ExceptionGroup", "KeyError")
    assert [member["type"] for member in exception["exceptions"]] == ["ValueError", "OSError"]
    assert "test_logging.py" in exception["frames"][-1]
    assert password not in json.dumps(line)


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


@pytest.mark.parametrize(
    "value",
    [Hostile(), object(), {1: {2: Hostile()}}, {(1, 2): "x"}, 10**40, float("nan"), "\ud800", "x" * 100_000, b"\xff"],
)
def test_any_value_can_be_logged(lines: Callable[[], list[dict[str, Any]]], value: Any):
    structlog.get_logger("x").warning("odd", value=value)
    (line,) = lines()
    assert line["event"] == "odd"
    assert len(json.dumps(line)) < 10_000


def test_values_cannot_take_the_place_of_the_lines_own(lines: Callable[[], list[dict[str, Any]]]):
    structlog.get_logger("x").info("e", service="other", level="fatal", time=1)
    (line,) = lines()
    assert (line["service"], line["level"]) == ("gateway", "info")
    assert (line["service_"], line["level_"], line["time_"]) == ("other", "fatal", 1)


def test_the_level_can_be_changed_while_running(started: Logging, lines: Callable[[], list[dict[str, Any]]]):
    log = structlog.get_logger("x")
    log.debug("before")
    started.set_level("debug")
    log.debug("during")
    logging.getLogger("nats").debug("also %s", "stdlib")
    started.set_level("error")
    log.warning("after")
    logging.getLogger("nats").warning("after")
    assert [line["event"] for line in lines()] == ["during", "also stdlib"]


def test_the_standard_librarys_records_are_in_the_same_file(
    started: Logging, lines: Callable[[], list[dict[str, Any]]]
):
    logging.getLogger("nats.client").warning("reconnected to %s", "127.0.0.1")
    logging.getLogger("uvicorn.access").info("GET / 200")
    wrong = logging.LogRecord("aiohttp", logging.ERROR, "x.py", 1, "%d wrong", ("no number",), None)
    started._bridge.handle(wrong)
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("asyncio").exception("task")
    found = lines()
    assert [line["event"] for line in found] == ["reconnected to 127.0.0.1", "%d wrong ('no number',)", "task"]
    assert found[0]["logger"] == "nats.client"
    assert found[2]["exception"]["type"] == "ValueError"


def test_after_the_end_events_go_nowhere(started: Logging, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    structlog.get_logger("x").info("last")
    started.close()
    structlog.get_logger("x").error("too late")
    assert len((tmp_path / "localrouter.log").read_text().splitlines()) == 1
    assert capsys.readouterr() == ("", "")


def test_without_a_folder_only_people_are_told(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    running = configure_logging(Log(), None, service="router")
    structlog.get_logger("x").warning("careful")
    running.close()
    structlog.reset_defaults()
    assert "careful" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_was_logged_last_is_written_at_exit(tmp_path: Path):
    script = (
        "import sys, pathlib\n"
        "from shared.runtime.logging import configure_logging\n"
        "from shared.runtime.settings import Log\n"
        "import structlog\n"
        "configure_logging(Log(), pathlib.Path(sys.argv[1]), service='x')\n"
        "[structlog.get_logger('x').info('n', n=n) for n in range(1000)]\n"
        "assert 'rich' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=30)
    lines = (tmp_path / "localrouter.log").read_text().splitlines()
    assert [json.loads(line)["n"] for line in lines] == list(range(1000))


def line(number: int, size: int = 20) -> bytes:
    return json.dumps({"n": number}).encode().ljust(size - 1) + b"\n"


def numbers(*paths: Path) -> list[int]:
    return [json.loads(text)["n"] for path in paths for text in path.read_text().splitlines()]


def test_a_full_file_is_rotated_and_the_oldest_forgotten(tmp_path: Path):
    path = tmp_path / "a.log"
    file = RotatingFile(path, max_bytes=100, backups=2)
    for number in range(20):
        file.write(line(number))
    file.close()
    assert numbers(tmp_path / "a.log.2", tmp_path / "a.log.1", path) == list(range(5, 20))
    assert {item.name for item in tmp_path.iterdir()} == {"a.log", "a.log.1", "a.log.2", "a.log.lock"}


def test_without_backups_the_file_begins_anew(tmp_path: Path):
    file = RotatingFile(tmp_path / "a.log", max_bytes=100, backups=0)
    for number in range(7):
        file.write(line(number))
    file.close()
    assert numbers(tmp_path / "a.log") == [5, 6]


def test_processes_that_share_a_file_follow_each_others_rotation(tmp_path: Path):
    path = tmp_path / "a.log"
    one, other = (RotatingFile(path, max_bytes=100, backups=9) for _ in range(2))
    for number in range(0, 20, 2):
        one.write(line(number))
        other.write(line(number + 1))
    one.close()
    other.close()
    assert numbers(*(tmp_path / f"a.log.{n}" for n in (3, 2, 1)), path) == list(range(20))


def test_a_file_that_was_removed_is_made_again(tmp_path: Path):
    path = tmp_path / "logs" / "a.log"
    file = RotatingFile(path, max_bytes=LARGE, backups=1)
    file.write(line(1))
    path.unlink()
    file.write(line(2))
    file.close()
    assert numbers(path) == [2]


def lost(count: int, why: str) -> Line:
    return Line(json.dumps({"n": -count, "why": why}).encode() + b"\n")


def test_what_a_slow_disk_cannot_take_is_dropped_and_counted(tmp_path: Path):
    path = tmp_path / "a.log"
    os.mkfifo(path)  # a write to it waits for a reader
    pipe = os.open(path, os.O_RDWR)
    writer = LogWriter(RotatingFile(path, max_bytes=LARGE, backups=1), lost=lost)
    for number in range(MAX_WAITING * 2 + 5_000):
        writer.put(Line(line(number, 100)))
    received: list[bytes] = []
    closing = threading.Thread(target=writer.close)
    closing.start()
    while (readable := select.select([pipe], [], [], 0.1)[0]) or closing.is_alive():
        received += [os.read(pipe, 1 << 20) for _ in readable]
    closing.join()
    os.close(pipe)
    found = [json.loads(text)["n"] for text in b"".join(received).splitlines()]
    written = [number for number in found if number >= 0]
    dropped = -sum(number for number in found if number < 0)
    assert dropped > 0
    assert len(written) + dropped == MAX_WAITING * 2 + 5_000


class FullDisk(RotatingFile):
    full = True

    def write(self, content: bytes) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().write(content)


def test_a_full_disk_costs_lines_and_says_so_once_and_when_there_is_room_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = FullDisk(tmp_path / "a.log", max_bytes=LARGE, backups=1)
    writer = LogWriter(file, lost=lost)
    for number in range(5):
        writer.put(Line(line(number)))
        assert writer.flush()
    said = capsys.readouterr().err
    assert said == "localrouter: the application log cannot be written: No space left on device\n"
    file.full = False
    writer.put(Line(line(2)))
    writer.close()
    assert (tmp_path / "a.log").read_text().splitlines()[1:] == ['{"n": -5, "why": "No space left on device"}']


def test_in_a_container_the_engine_gets_every_event_as_json_and_no_file_is_written(tmp_path: Path):
    program = (
        "import pathlib, sys, structlog\n"
        "from shared.runtime.logging import configure_logging\n"
        "from shared.runtime.settings import Log\n"
        "configure_logging(Log(terminal='everything'), pathlib.Path(sys.argv[1]), service='x')\n"
        "log = structlog.get_logger('room')\n"
        "log.info('one')\nlog.warning('two')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["one", "two"]
    assert list(tmp_path.iterdir()) == []
