"""Senders that are too big, too slow, or too many: an answer of the right status, and the others unharmed."""

import gzip
import threading
from collections.abc import Iterator

import psutil
import pytest

from tests.support.raw_http import CHAT, Raw, ask, head, post, running
from tests.support.system import System, Wall, embedded, until

HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, running_wall: Wall) -> Iterator[System]:
    """A system that gives senders half a second."""
    limits = {"LOCALROUTER_SERVER__HEADER_TIMEOUT_S": "0.5", "LOCALROUTER_SERVER__BODY_TIMEOUT_S": "0.5"}
    with embedded(tmp_path_factory.mktemp("impatient"), **limits) as running:
        running.provider(running_wall.url, "wall", ["small"])
        yield running


@pytest.fixture(scope="module")
def hurried(impatient: System) -> str:
    """The header line that proves a key of the impatient system."""
    return f"Authorization: Bearer {impatient.key(target={'model': 'wall/small'})}"


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(system: System, auth: str, vendor: Wall) -> None:
    got = ask(system.url, head("POST", CHAT, auth, f"Content-Length: {100 * MIB}"))
    assert (got.status, got.code) == (413, "request_too_large")
    assert vendor.attempts() == []


def test_a_client_that_sends_100_mb_all_the_same_still_reads_its_413(system: System, auth: str) -> None:
    with Raw(system.url) as raw:
        raw.send(head("POST", CHAT, auth, f"Content-Length: {100 * MIB}"))
        raw.push(bytes(MIB), 100)
        assert raw.answer().status == 413


def test_a_body_that_grows_past_the_limit_in_chunks_is_cut_off_and_costs_little_memory(
    system: System, auth: str, vendor: Wall
) -> None:
    process = next(item for item in psutil.process_iter() if item.name().startswith("python") and _serves(item, system))
    before = process.memory_info().rss
    with Raw(system.url) as raw:
        raw.send(head("POST", CHAT, auth, "Transfer-Encoding: chunked"))
        sent = raw.push(b"100000\r\n" + bytes(MIB) + b"\r\n", 200)
        got = raw.answer()
    assert (got.status, got.code) == (413, "request_too_large")
    assert sent < 120 * MIB
    assert process.memory_info().rss - before < 120 * MIB
    assert vendor.attempts() == []


def test_a_compressed_body_is_not_taken(system: System, auth: str) -> None:
    bomb = gzip.compress(bytes(10 * MIB))
    for encoding in ("gzip", "br", "gzip, identity", "DEFLATE"):
        got = ask(system.url, post(CHAT, bomb, auth, f"Content-Encoding: {encoding}"))
        assert (got.status, got.code) == (415, "unsupported_encoding")


@pytest.mark.parametrize(
    "lines",
    [["X-Filler: a"] * 150, ["X-Large: " + "a" * 70_000], ["X-Half: " + "a" * 40_000] * 2, ["A" * 70_000 + ": b"]],
    ids=["too many", "one too large", "too large together", "a name too large"],
)
def test_too_many_or_too_large_headers_are_431(system: System, lines: list[str]) -> None:
    with Raw(system.url) as raw:
        raw.send(head("GET", "/v1/models", *lines))
        assert raw.answer().status == 431
        assert raw.closed()


def test_an_address_without_end_is_refused(system: System) -> None:
    with Raw(system.url) as raw:
        raw.push(b"GET /" + b"a" * MIB, 8)
        assert raw.answer().status in (400, 414, 431)


@pytest.mark.parametrize(
    "beginning", [b"", b"\r\n", b"GET", b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "],
    ids=["nothing", "an empty line", "half a line", "half of the headers"],
)  # fmt: skip
def test_a_sender_of_headers_that_is_too_slow_is_cut_off(impatient: System, beginning: bytes) -> None:
    with Raw(impatient.url) as raw:
        raw.send(beginning)
        rest = raw.socket.makefile("rb").read()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")


def test_a_sender_that_drips_headers_is_cut_off_at_the_same_deadline(impatient: System) -> None:
    ended = threading.Event()
    with Raw(impatient.url) as raw:
        raw.send(head("GET", "/v1/models")[:-2])

        def drip() -> None:
            while not ended.wait(0.05):
                if raw.push(b"X-Drip: 1\r\n", 1) == 0:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert raw.answer().status == 408
        finally:
            ended.set()
            dripping.join()


def test_a_sender_of_a_body_that_is_too_slow_gets_408(impatient: System, hurried: str, vendor: Wall) -> None:
    with Raw(impatient.url) as raw:
        raw.send(head("POST", CHAT, hurried, "Content-Length: 1000") + b'{"model":')
        got = raw.answer()
        assert (got.status, got.code) == (408, "request_timeout")
        assert raw.closed()
    assert vendor.attempts() == []


@pytest.mark.parametrize("path", [CHAT, "/admin/v1/keys", "/healthz"])
def test_a_body_that_nobody_reads_keeps_its_connection_no_longer_than_a_slow_one(impatient: System, path: str) -> None:
    ended = threading.Event()
    with Raw(impatient.url) as raw:
        raw.send(head("POST", path, "Content-Length: 1000000000"))

        def drip() -> None:
            while not ended.wait(0.05):
                if raw.push(b"x", 1) == 0:
                    return

        assert raw.answer().status < 500
        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert raw.closed()
        finally:
            ended.set()
            dripping.join()


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_the_admin_api_has_the_same_limits_for_senders(system: System, impatient: System, method: str) -> None:
    path = "/admin/v1/settings" if method == "PATCH" else "/admin/v1/keys"
    got = ask(system.url, head(method, path, _admin(system), f"Content-Length: {100 * MIB}"))
    assert got.status == 413
    assert got.header("content-type") == "application/problem+json"
    got = ask(impatient.url, head(method, path, _admin(impatient), "Content-Length: 100") + b"{")
    assert got.status == 408


def test_a_slow_answer_is_not_taken_for_a_slow_sender(impatient: System, hurried: str, vendor: Wall) -> None:
    vendor.script({"text": "late", "delay_ms": 1200})
    with Raw(impatient.url) as raw:
        raw.send(post(CHAT, HELLO, hurried))
        assert raw.answer().json()["choices"][0]["message"]["content"] == "late"


def test_200_slow_connections_do_not_harm_a_normal_request(system: System, auth: str, vendor: Wall) -> None:
    slow = [Raw(system.url).send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX-S") for _ in range(100)]
    slow += [Raw(system.url).send(head("POST", CHAT, auth, "Content-Length: 1000") + b'{"mo') for _ in range(100)]
    try:
        assert ask(system.url, post(CHAT, HELLO, auth)).status == 200
    finally:
        for raw in slow:
            raw.close()
    assert len(vendor.attempts()) == 1
    until(lambda: running(system) == 0, "the slow ones are let go of")


def _serves(process: psutil.Process, system: System) -> bool:
    port = int(system.url.rpartition(":")[2])
    return any(item.laddr.port == port and item.status == "LISTEN" for item in process.net_connections("tcp"))


def _admin(system: System) -> str:
    return f"Authorization: {system.http.headers['authorization']}"
