"""Connections to vendors: kept, guarded, replaced where the vendor had let go of one, and framed by nobody else."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest

from services.providers.adapters.http_answer import Broken
from services.providers.adapters.upstream import AddressRefused, Upstream, endpoint, read_capped

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Vendor:
    """A server that answers ``ANSWER`` and closes a connection after so many requests."""

    def __init__(self, closes_after: int = 1_000_000, answers: bool = True) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.url = ""
        self.serving: set[asyncio.Task[None]] = set()
        self._closes_after = closes_after
        self._answers = answers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.serving.add(cast("asyncio.Task[None]", asyncio.current_task()))
        for _ in range(self._closes_after):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
            self.requests.append(head + await reader.readexactly(length))
            if not self._answers:
                break
            writer.write(ANSWER)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def running(vendor: Vendor) -> AsyncGenerator[Upstream]:
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    vendor.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    upstream = Upstream()
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()
        if vendor.serving:
            await asyncio.wait(vendor.serving, timeout=5)
        server.close()
        await server.wait_closed()


async def ask(
    upstream: Upstream, vendor: Vendor, headers: dict[str, str] | None = None, *, local: bool = True
) -> bytes:
    url = endpoint(f"{vendor.url}/v1/", "/chat")
    answer = await upstream.send("POST", url, headers or {}, b"[1]", local=local, connect_s=5)
    body = await read_capped(answer, 1_000)
    answer.close()
    assert body is not None
    return body


async def test_a_connection_is_used_again() -> None:
    vendor = Vendor()
    async with running(vendor) as upstream:
        for _ in range(3):
            assert await ask(upstream, vendor) == b"{}"
        assert vendor.connections == 1
        assert vendor.requests[0].startswith(b"POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:")


async def test_a_kept_connection_that_the_vendor_closed_costs_no_request() -> None:
    vendor = Vendor(closes_after=1)
    async with running(vendor) as upstream:
        assert [await ask(upstream, vendor) for _ in range(3)] == [b"{}"] * 3
        assert len(vendor.requests) == 3


async def test_a_new_connection_that_brings_no_answer_is_not_tried_again() -> None:
    vendor = Vendor(answers=False)
    async with running(vendor) as upstream:
        with pytest.raises(Broken):
            await ask(upstream, vendor)
        assert len(vendor.requests) == 1


async def test_an_address_is_judged_at_every_connect_a_literal_one_too() -> None:
    vendor = Vendor()
    async with running(vendor) as upstream:
        assert await ask(upstream, vendor) == b"{}"
        with pytest.raises(AddressRefused, match="private network"):
            await ask(upstream, vendor, local=False)


async def test_headers_neither_frame_the_request_nor_add_lines_to_it() -> None:
    vendor = Vendor()
    async with running(vendor) as upstream:
        await ask(upstream, vendor, {"Content-Length": "99", "Transfer-Encoding": "chunked", "Host": "example.org"})
        sent = vendor.requests[0].lower()
        assert sent.count(b"content-length") == sent.count(b"host:") == 1
        assert b"transfer-encoding" not in sent
        for value in ("a\r\nx: b", "a\nb", "a\0b"):
            with pytest.raises(Broken, match="line break"):
                await ask(upstream, vendor, {"x-a": value})


async def test_who_stops_waiting_leaves_no_connection_behind() -> None:
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1_000_000)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        left.set()

    vendor = Vendor()
    vendor.serve = silent  # type: ignore[method-assign]
    async with running(vendor) as upstream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask(upstream, vendor)
        await asyncio.wait_for(left.wait(), 5)


def test_a_path_stays_within_its_line() -> None:
    assert endpoint("http://h/v1", "/a b\r\nx: y?z=1").target == "/v1/a%20bx:%20y?z=1"
    assert endpoint("https://[::1]:8443", "/a").name == "[::1]:8443"
    assert endpoint("https://example.org", "/a").port == 443
    with pytest.raises(OSError, match="no address"):
        endpoint("http://h:99999", "/a")
