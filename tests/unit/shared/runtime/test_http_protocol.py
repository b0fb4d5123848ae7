import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from shared.runtime.http_protocol import protocol

ASK = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"


class Timer:
    def __init__(self, at: float, callback: Any) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A loop whose time is set by hand; tasks run on the real one."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Any) -> Timer:
        self.timers.append(Timer(self.now + delay, callback))
        return self.timers[-1]

    def create_task(self, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(coroutine, **options)

    def until(self, now: float) -> None:
        """Let time pass; timers that come due are called."""
        while due := [timer for timer in self.timers if timer.at <= now and not timer.cancelled]:
            first = min(due, key=lambda timer: timer.at)
            self.timers.remove(first)
            self.now = first.at
            first.callback()
        self.now = now


class Wire:
    """A transport that keeps each write apart."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> Any:
        return None

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Connection:
    def __init__(self, *headers: tuple[bytes, bytes], pieces: tuple[bytes, ...] = (b"{}",)) -> None:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            self.scopes.append(scope)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        self.scopes: list[Any] = []
        self.loop = Loop()
        self.wire = Wire()
        options: dict[str, Any] = {"ws": "none", "lifespan": "off", "access_log": False, "log_config": None}
        config = uvicorn.Config(answer, timeout_keep_alive=75, **options)
        loop: Any = self.loop
        self.protocol = protocol(15.0)(config, ServerState(), {}, loop)
        self.protocol.connection_made(self.wire)  # pyright: ignore[reportArgumentType]

    async def ask(self, request: bytes = ASK) -> bytes:
        """Send a request and return what was written for it."""
        before = len(self.wire.writes)
        self.protocol.data_received(request)
        for _ in range(10):
            await asyncio.sleep(0)
        return b"".join(self.wire.writes[before:])


async def test_the_head_leaves_together_with_the_first_of_the_body():
    connection = Connection((b"content-length", b"2"))
    answer = await connection.ask()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
    assert answer.endswith(b"\r\ncontent-length: 2\r\n\r\n{}")
    assert connection.wire.writes[0] == answer


async def test_an_answer_without_a_length_comes_in_chunks():
    answer = await Connection(pieces=(b"a" * 20, b"bc")).ask()
    assert b"\r\ntransfer-encoding: chunked\r\n\r\n14\r\n" + b"a" * 20 in answer
    assert answer.endswith(b"\r\n2\r\nbc\r\n0\r\n\r\n")


async def test_an_answer_to_head_has_no_body():
    answer = await Connection((b"content-length", b"2")).ask(ASK.replace(b"GET", b"HEAD"))
    assert answer.endswith(b"content-length: 2\r\n\r\n")


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"a\0b", b"a\rb", b"\x7f"])
async def test_a_header_cannot_hold_a_line_break_or_another_control_character(value: bytes):
    answer = await Connection((b"x-reason", value)).ask()
    assert not answer.startswith(b"HTTP/1.1 200")
    assert b"x-reason" not in answer


@pytest.mark.parametrize("name", [b"x reason", b"x:reason", b"x\r\ny", b"x\n"])
async def test_a_headers_name_is_one_word(name: bytes):
    answer = await Connection((name, b"a")).ask()
    assert not answer.startswith(b"HTTP/1.1 200")


async def test_a_tab_in_a_header_is_allowed():
    assert b"x-reason: a\tb\r\n" in await Connection((b"x-reason", b"a\tb")).ask()


async def test_a_connection_at_rest_is_closed_when_its_time_is_over_and_not_before():
    connection = Connection((b"content-length", b"2"))
    for _ in range(3):
        await connection.ask()
        connection.loop.until(connection.loop.now + 50)
    assert len([timer for timer in connection.loop.timers if not timer.cancelled]) == 1
    connection.loop.until(connection.loop.now + 24.9)
    assert not connection.wire.closed
    connection.loop.until(connection.loop.now + 0.2)
    assert connection.wire.closed


async def test_the_rest_is_not_counted_while_a_request_is_answered():
    connection = Connection((b"content-length", b"2"))
    await connection.ask()
    connection.protocol.data_received(ASK)
    connection.loop.until(connection.loop.now + 80)
    assert not connection.wire.closed
    await asyncio.sleep(0)
    assert len(connection.wire.writes) > 1
    connection.loop.until(connection.loop.now + 76)
    assert connection.wire.closed


async def test_the_date_is_told_anew_each_second(monkeypatch: pytest.MonkeyPatch):
    connection = Connection((b"content-length", b"2"))
    seconds = iter((0.0, 1.0))
    monkeypatch.setattr("time.time", lambda: next(seconds))
    answers = [await connection.ask(), await connection.ask()]
    connection.loop.until(connection.loop.now + 1)
    answers.append(await connection.ask())
    assert [b"00:00:01 GMT" in answer for answer in answers] == [False, False, True]


async def test_an_address_is_unquoted_and_parted_from_its_query():
    connection = Connection((b"content-length", b"2"))
    await connection.ask(ASK.replace(b"/v1/models", b"/v1/models/a%20b?x=%20"))
    (scope,) = connection.scopes
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (
        "/v1/models/a b",
        b"/v1/models/a%20b",
        b"x=%20",
    )
