"""The ASGI types, and the few answers that every raw ASGI application needs."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

WHOLE_BODY: Final = "localrouter.whole_body"
"""An extension of ours in a request's scope: its body, where that was there before anybody asked for it."""


async def respond(send: Send, status: int, body: bytes, content_type: bytes, headers: Headers = ()) -> None:
    """Send one whole answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers of a request by name in lower case; of several with one name the first."""
    return dict(reversed(scope["headers"]))


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first value of a request header (``name`` in lower case)."""
    for key, value in scope["headers"]:
        if key == name:
            return value
    return None
