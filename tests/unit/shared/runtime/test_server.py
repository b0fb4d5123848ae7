import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.runtime.asgi import WHOLE_BODY, App, Receive, Scope, Send, respond
from shared.runtime.server import HttpServer, bind

uvloop = pytest.importorskip("uvloop")


def serve(app: App, client: Callable[[socket.socket], Awaitable[None]]) -> None:
    """Run the server on uvloop, as it runs for people, while a client talks to it from a thread of its own."""

    async def main() -> None:
        bound = bind("127.0.0.1", 0)
        server = HttpServer(app, bound, grace_s=1)
        serving = asyncio.create_task(server.run_until_stopped())
        with socket.create_connection(bound.getsockname(), timeout=10) as connection:
            await client(connection)
        server.stop()
        await serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize(("pieces", "whole"), [((b"ab",), b"ab"), ((b"a", b"b"), None)])
def test_a_body_that_was_there_at_once_is_told_besides(pieces: tuple[bytes, ...], whole: bytes | None):
    begun = asyncio.Event()
    told: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        body, more = b"", True
        told.append(scope.get("extensions", {}).get(WHOLE_BODY))
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        told.append(body)
        await respond(send, 200, b"{}", b"application/json")

    async def ask(connection: socket.socket) -> None:
        first, *rest = pieces
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n" + first)
        await begun.wait()
        for piece in rest:
            connection.sendall(piece)
        await asyncio.to_thread(connection.recv, 4096)

    serve(app, ask)
    assert told == [whole, b"ab"], "whoever asks for it is given it all the same"
