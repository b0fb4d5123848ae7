"""``POST /internal/v1/complete``: one attempt asked as JSON, answered with frames; a caller that leaves cancels it."""

import asyncio
import contextlib
from typing import Final

import msgspec

from shared.contracts.frames import Completion, Completions, Fail, Tail, encode_frame
from shared.runtime.asgi import App, Receive, Scope, Send, respond

FRAMES: Final = b"application/vnd.localrouter.frames"
MAX_REQUEST: Final = 64 * 1024 * 1024
_DECODER: Final = msgspec.json.Decoder(Completion)
_PROBLEM: Final = b"application/problem+json"


def complete_app(completions: Completions) -> App:
    """Return the application."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await _refuse(send, 405, "only POST")
            return
        body = await _body(receive)
        if body is None:
            await _refuse(send, 413, "the request is larger than 64 MiB or was not sent whole")
            return
        try:
            request = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            await _refuse(send, 400, f"not a completion: {error}")
            return
        answer = asyncio.ensure_future(_answer(completions, request, send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answer, gone):
                if not task.done():
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
        if answer.done() and not answer.cancelled():
            answer.result()

    return serve


async def _answer(completions: Completions, request: Completion, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", FRAMES)]})
    async with contextlib.aclosing(completions.complete(request)) as frames:
        async for frame in frames:
            # The end of the body goes with the last frame, so the reader's connection is free at once.
            more = not isinstance(frame, Tail | Fail)
            await send({"type": "http.response.body", "body": encode_frame(frame), "more_body": more})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > MAX_REQUEST:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def _refuse(send: Send, status: int, detail: str) -> None:
    await respond(send, status, msgspec.json.encode({"status": status, "detail": detail}), _PROBLEM)
