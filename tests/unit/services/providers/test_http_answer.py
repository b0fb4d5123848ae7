"""An HTTP/1.1 answer reads the same however it was split, and whatever else comes is Broken, not waited for."""

import asyncio
import gc
import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.providers.adapters.http_answer import Answer, Broken

BODY = b'{"choices":[1,2,3]}' * 9


class Line:
    """A connection that only notes what is asked of it."""

    def __init__(self) -> None:
        self.kept: bool | None = None
        self.holds = 0

    def hold(self) -> None:
        self.holds += 1

    def go_on(self) -> None:
        self.holds -= 1

    def finished(self, *, whole: bool) -> None:
        self.kept = whole


def chunked(body: bytes, size: int = 7) -> bytes:
    parts = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nx-trailer: 1\r\n\r\n"


def of_length(body: bytes, *headers: bytes) -> bytes:
    fields = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\nX-Request-Id: r1\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), fields, body)


WHOLE = {
    "length": of_length(BODY),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(BODY),
    "announced": b"HTTP/1.1 100 Continue\r\n\r\n" + of_length(BODY),
    "gzip": of_length(gzip.compress(BODY), b"Content-Encoding: gzip"),
    "empty": b"HTTP/1.1 204 No Content\r\n\r\n",
}


async def read(answer: Answer) -> bytes:
    await answer.head()
    parts: list[bytes] = []
    while part := await answer.readany():
        parts.append(part)
    return b"".join(parts)


def fresh() -> tuple[Answer, Line]:
    line = Line()
    return Answer(line, asyncio.get_running_loop()), line


@pytest.mark.parametrize("form", WHOLE)
@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=8), eager=st.booleans())
def test_any_split_reads_the_same_and_the_connection_is_kept(form: str, cuts: list[int], eager: bool) -> None:
    async def run() -> None:
        answer, line = fresh()
        raw, last = WHOLE[form], 0
        reading = asyncio.create_task(read(answer))
        for cut in [*sorted(cut for cut in cuts if cut < len(raw)), len(raw)]:
            if raw[last:cut]:
                answer.feed(raw[last:cut])
            last = cut
            if eager:
                await asyncio.sleep(0)
        assert await reading == (b"" if form == "empty" else BODY)
        answer.close()
        assert line.kept is True

    asyncio.run(run())


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    answer, line = fresh()
    answer.feed(b"HTTP/1.1 200 OK\r\n\r\n" + BODY)
    answer.ended(None)
    assert await read(answer) == BODY
    answer.close()
    assert line.kept is False


@pytest.mark.parametrize("form", ["length", "chunked", "gzip"])
async def test_a_cut_answer_gives_what_came_and_is_broken_then(form: str) -> None:
    answer, line = fresh()
    answer.feed(WHOLE[form][:-30])
    answer.ended(None)
    with pytest.raises(Broken, match="closed"):
        await read(answer)
    answer.close()
    assert line.kept is False


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\n"
        + b"X: 1\r\n" * 20
        + b"".join(b"X-%d: 1\r\n" % number for number in range(300))
        + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_broken(raw: bytes) -> None:
    answer, line = fresh()
    answer.feed(raw)
    with pytest.raises(Broken):
        await answer.head()
    answer.close()
    assert not line.kept


async def test_more_than_one_answer_ends_the_connection() -> None:
    for late in (False, True):
        answer, line = fresh()
        for part in [WHOLE["length"], WHOLE["length"]] if late else [WHOLE["length"] * 2]:
            answer.feed(part)
        assert await read(answer) == BODY
        answer.close()
        assert line.kept is False


async def test_trailers_without_an_end_are_broken() -> None:
    answer, _ = fresh()
    answer.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: ")
    for _ in range(70):
        answer.feed(b"x" * 1_000)
    with pytest.raises(Broken):
        await read(answer)


async def test_an_encoding_that_was_not_asked_for_is_broken_where_the_body_would_be() -> None:
    answer, _ = fresh()
    answer.feed(of_length(BODY, b"Content-Encoding: br"))
    await answer.head()
    with pytest.raises(Broken, match="'br'"):
        await read(answer)


async def test_a_compressed_answer_unfolds_in_steps() -> None:
    packed = gzip.compress(bytes(8 * 1024 * 1024))
    answer, _ = fresh()
    answer.feed(of_length(packed, b"Content-Encoding: gzip"))
    await answer.head()
    sizes: list[int] = []
    while part := await answer.readany():
        sizes.append(len(part))
    assert sum(sizes) == 8 * 1024 * 1024
    assert max(sizes) <= 1024 * 1024


async def test_a_sender_is_held_back_until_what_came_was_read() -> None:
    answer, line = fresh()
    answer.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(300_000))
    assert line.holds == 1
    assert len(await answer.readany()) == 300_000
    assert line.holds == 0


async def test_an_answer_that_is_done_with_waits_for_no_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        before = answers_held()
        answer, _ = fresh()
        answer.feed(WHOLE["length"])
        assert await read(answer) == BODY
        answer.close()
        del answer
        assert answers_held() == before
    finally:
        gc.enable()


def answers_held() -> int:
    return sum(type(held) is Answer for held in gc.get_objects())
