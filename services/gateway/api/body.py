"""Reads a request's body within its limits of size and time."""

import asyncio
from collections.abc import Mapping
from typing import Final

from services.gateway.domain.errors import ApiError, bad_request
from shared.runtime.asgi import WHOLE_BODY, Message, Receive, Scope
from shared.runtime.watchdog import Watchdog

_NONE: Final[Mapping[str, bytes]] = {}


async def read_body(
    headers: Mapping[bytes, bytes], scope: Scope, receive: Receive, max_bytes: int, timeout_s: float
) -> bytes:
    """Return the body of a request with ``headers`` (by name in lower case).

    Raises ApiError 413 (too large), 415 (compressed), 408 (too slow), 400 (cut short).
    """
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        message = "Compressed request bodies are not taken; send the body as it is."
        raise ApiError(415, "unsupported_encoding", message)
    length = headers.get(b"content-length")
    if length is not None and length.isdigit() and int(length) > max_bytes:
        raise _too_large(max_bytes)
    whole: bytes | None = scope.get("extensions", _NONE).get(WHOLE_BODY)
    if whole is not None and len(whole) <= max_bytes:
        return whole  # without a time limit, nor a wait
    watchdog = Watchdog()
    watchdog.arm(asyncio.get_running_loop().time() + timeout_s)
    try:
        return await _receive_all(receive, max_bytes)
    except asyncio.CancelledError:
        if not watchdog.expired():
            raise
        message = f"The request's body did not arrive within {timeout_s:g} s."
        raise ApiError(408, "request_timeout", message, headers=((b"connection", b"close"),)) from None
    finally:
        watchdog.close()


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return what an application receives that comes after the reading of ``body``."""
    rest = [body]

    async def replay() -> Message:
        if rest:
            return {"type": "http.request", "body": rest.pop(), "more_body": False}
        return await receive()

    return replay


async def _receive_all(receive: Receive, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise bad_request("The request ended before its body did.", code="incomplete_body")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return chunk if not chunks else b"".join([*chunks, chunk])
        chunks.append(chunk)


def _too_large(max_bytes: int) -> ApiError:
    message = f"The request's body is larger than the {max_bytes} bytes that are allowed."
    return ApiError(413, "request_too_large", message, headers=((b"connection", b"close"),))
