"""``POST /admin/v1/backup``: a backup of everything, as a stream."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import IO, Final

import msgspec

from shared.kernel.errors import LogError, StartRefused
from shared.runtime.asgi import App, Receive, Scope, Send, respond

_PIECE_BYTES: Final = 256 * 1024


def backup_app(make: Callable[[], Awaitable[IO[bytes]]] | None) -> App:
    """Return the application; ``make`` returns a new backup as an open file, None: there is none."""

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await _problem(send, 405, "method_not_allowed", "a backup is made by POST")
            return
        if make is None:
            await _problem(send, 501, "no_backup", "this gateway makes no backups")
            return
        try:
            file = await make()
        except (LogError, StartRefused) as error:
            await _problem(send, 503, "log_unavailable", str(error))
            return
        except OSError as error:
            await _problem(send, 507, "no_room", f"the backup cannot be written: {error.strerror}")
            return
        with file:
            await _stream(file, send)

    return app


async def _stream(file: IO[bytes], send: Send) -> None:
    size = file.seek(0, 2)
    file.seek(0)
    headers = [(b"content-type", b"application/x-tar"), (b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    left = size
    while left > 0:
        piece = await asyncio.to_thread(file.read, _PIECE_BYTES)
        left -= len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": left > 0})


async def _problem(send: Send, status: int, code: str, detail: str) -> None:
    document = {"type": "about:blank", "title": code.replace("_", " "), "status": status, "code": code}
    await respond(send, status, msgspec.json.encode({**document, "detail": detail}), b"application/problem+json")
