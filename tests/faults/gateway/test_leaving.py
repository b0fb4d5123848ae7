"""Clients that leave: one record each, the vendor's socket closed soon, nothing left behind."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.raw_http import CHAT, Raw, head, post, running
from tests.support.system import System, Wall, until

STREAM = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
WHOLE = {**STREAM, "stream": False}
TEN = {"text": " ".join(f"w{index}" for index in range(10)), "events": 10}
Leave = Callable[[Raw], None]


@pytest.fixture
def record(system: System, vendor: Wall) -> Callable[[], dict[str, Any]]:
    """Return the one new record, once everything is over."""
    before = {item["id"] for item in system.items("requests")}

    def new() -> dict[str, Any]:
        until(lambda: running(system) == 0, "no request runs")
        found = until(
            lambda: [item for item in system.items("requests") if item["id"] not in before], "the record is there"
        )
        assert len(found) == 1
        return system.http.get(f"/requests/{found[0]['id']}").json()

    return new


def closed_soon(vendor: Wall) -> None:
    """The vendor's socket is closed by this side."""
    attempt = until(
        lambda: (found := vendor.attempts()) and found[0]["closed_at"] and found[0], "the socket upstream is closed", 2
    )
    assert attempt["closed_by"] == "client"
    assert attempt["finished_at"] is None


@pytest.mark.parametrize("leave", [Raw.close, Raw.reset], ids=["orderly", "crashed"])
@pytest.mark.parametrize("asked", [WHOLE, STREAM], ids=["whole", "stream"])
def test_before_headers(
    system: System, auth: str, vendor: Wall, record: Callable[[], dict[str, Any]], asked: dict[str, Any], leave: Leave
) -> None:
    vendor.script({**TEN, "fault": "hold", "where": "before_headers"})
    raw = Raw(system.url).send(post(CHAT, asked, auth))
    until(vendor.attempts, "the vendor was asked")
    leave(raw)
    closed_soon(vendor)
    found = record()
    assert (found["status"], found["http_status"], found["error_code"]) == ("cancelled", 499, "client_closed_request")
    assert [item["outcome"] for item in found["attempts"]] == ["cancelled"]


@pytest.mark.parametrize("leave", [Raw.close, Raw.reset], ids=["orderly", "crashed"])
@pytest.mark.parametrize("where", ["before_events", "before_content"])
def test_before_the_first_token(
    system: System, auth: str, vendor: Wall, record: Callable[[], dict[str, Any]], where: str, leave: Leave
) -> None:
    vendor.script({**TEN, "fault": "hold", "where": where})
    raw = Raw(system.url).send(post(CHAT, STREAM, auth))
    until(lambda: vendor.attempts() and vendor.attempts()[0]["first_byte_at"], "the vendor began")
    leave(raw)
    closed_soon(vendor)
    found = record()
    assert (found["status"], found["ttft_ms"]) == ("cancelled", None)


@pytest.mark.parametrize("leave", [Raw.close, Raw.reset], ids=["orderly", "crashed"])
def test_in_the_middle_of_a_stream(
    system: System, auth: str, vendor: Wall, record: Callable[[], dict[str, Any]], leave: Leave
) -> None:
    vendor.script({**TEN, "fault": "hold", "after": 4})
    raw = Raw(system.url).send(post(CHAT, STREAM, auth))
    raw.until(b"w3")
    leave(raw)
    closed_soon(vendor)
    found = record()
    assert found["status"] == "cancelled"
    assert found["ttft_ms"] > 0
    assert found["tokens"]["output"] >= 4


def test_in_the_middle_of_a_whole_answer(
    system: System, auth: str, vendor: Wall, record: Callable[[], dict[str, Any]]
) -> None:
    vendor.script({**TEN, "fault": "hold"})
    raw = Raw(system.url).send(post(CHAT, WHOLE, auth))
    until(lambda: vendor.attempts() and vendor.attempts()[0]["first_byte_at"], "the vendor began")
    raw.close()
    closed_soon(vendor)
    assert record()["status"] == "cancelled"


def test_after_the_last_chunk_and_before_the_end(
    system: System, auth: str, vendor: Wall, record: Callable[[], dict[str, Any]]
) -> None:
    vendor.script({**TEN, "fault": "hold", "where": "before_end"})
    raw = Raw(system.url).send(post(CHAT, {**STREAM, "stream_options": {"include_usage": True}}, auth))
    raw.until(b'"usage":{')
    raw.close()
    closed_soon(vendor)
    found = record()
    assert found["status"] == "cancelled"
    assert found["tokens"]["output"] >= 10


def test_after_the_end(system: System, auth: str, vendor: Wall, record: Callable[[], dict[str, Any]]) -> None:
    vendor.script(TEN)
    raw = Raw(system.url).send(post(CHAT, STREAM, auth))
    raw.until(b"[DONE]")
    raw.reset()
    found = record()
    assert (found["status"], found["http_status"]) == ("succeeded", 200)


def test_in_the_middle_of_the_request_s_body(
    system: System, auth: str, vendor: Wall, record: Callable[[], dict[str, Any]]
) -> None:
    raw = Raw(system.url).send(head("POST", CHAT, auth, "Content-Length: 1000") + b'{"model"')
    until(lambda: running(system) == 1, "the request runs")
    raw.close()
    assert record()["status"] in ("refused", "cancelled")
    assert vendor.attempts() == []


def test_between_two_attempts(system: System, auth: str, vendor: Wall, record: Callable[[], dict[str, Any]]) -> None:
    vendor.script({"status": 500, "error": {"message": "no"}, "headers": {"retry-after": "2"}}, TEN)
    raw = Raw(system.url).send(post(CHAT, WHOLE, auth))
    until(lambda: vendor.attempts() and vendor.attempts()[0]["finished_at"], "the first attempt failed")
    raw.close()
    found = record()
    assert found["status"] == "cancelled"
    assert [item["outcome"] for item in found["attempts"]] == ["server_error"]
    assert len(vendor.attempts()) == 1


def test_while_a_pipelined_request_waits_behind_the_running_one(
    system: System, auth: str, vendor: Wall, record: Callable[[], dict[str, Any]]
) -> None:
    vendor.script({**TEN, "fault": "hold", "where": "before_headers"})
    raw = Raw(system.url).send(post(CHAT, WHOLE, auth) + post(CHAT, WHOLE, auth))
    until(vendor.attempts, "the vendor was asked")
    raw.close()
    closed_soon(vendor)
    assert record()["status"] == "cancelled"
    assert len(vendor.attempts()) == 1


def test_a_hundred_clients_that_leave_leave_nothing_behind(system: System, auth: str, vendor: Wall) -> None:
    vendor.script({**TEN, "fault": "hold", "after": 2}, repeat=True)
    before = len(system.items("requests"))
    clients = [Raw(system.url).send(post(CHAT, STREAM, auth)) for _ in range(100)]
    for client in clients:
        client.until(b"w1")
    assert running(system) == 100
    for client in clients:
        client.reset()
    until(lambda: running(system) == 0, "no request runs", 5)
    until(lambda: all(item["closed_at"] for item in vendor.attempts()), "every socket upstream is closed", 5)
    assert len(system.requests(before + 100)) == before + 100
