"""The bare proxy that LocalRouter is measured against: raw ASGI, uvicorn with uvloop and httptools, an aiohttp client.

It does what no gateway can leave out (key check by HMAC, one parse, the model rewritten, forward, usage read, counters
in memory) and nothing else: no routing, no fallback, no record, no time limits. Nobody should run it for real.
"""

import argparse
import hmac
import socket
from typing import Any

import aiohttp
import msgspec
import uvicorn

PEPPER = b"bench"
KEY = "bench-key"
KEYS = {hmac.digest(PEPPER, KEY.encode(), "sha256"): "the key"}
JSON = [(b"content-type", b"application/json")]


class BareProxy:
    """The application; ``counters`` holds what it counted."""

    def __init__(self, upstream: str) -> None:
        self._url = upstream + "/v1/chat/completions"
        self._session: aiohttp.ClientSession | None = None
        self.counters = {"requests": 0, "input": 0, "output": 0}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        token = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if hmac.digest(PEPPER, token.removeprefix(b"Bearer "), "sha256") not in KEYS:
            await send({"type": "http.response.start", "status": 401, "headers": JSON})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        parts: list[bytes] = []
        more = True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = msgspec.json.decode(b"".join(parts))
        body["model"] = "mock"
        await self._forward(body, send)

    async def _forward(self, body: dict[str, Any], send: Any) -> None:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        headers = {"content-type": "application/json", "authorization": "Bearer upstream"}
        async with self._session.post(self._url, data=msgspec.json.encode(body), headers=headers) as answer:
            kind = answer.headers["content-type"].encode()
            start: dict[str, Any] = {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(b"content-type", kind)],
            }
            if not body.get("stream"):
                payload = await answer.read()
                start["headers"].append((b"content-length", str(len(payload)).encode()))
                await send(start)
                await send({"type": "http.response.body", "body": payload})
                self._count(msgspec.json.decode(payload).get("usage"))
                return
            await send(start)
            rest = b""
            usage = None
            async for payload in answer.content.iter_any():
                await send({"type": "http.response.body", "body": payload, "more_body": True})
                *events, rest = (rest + payload).split(b"\n\n")
                for event in events:
                    if b'"usage":{' in event:
                        usage = msgspec.json.decode(event.removeprefix(b"data: "))["usage"]
            await send({"type": "http.response.body", "body": b""})
            self._count(usage)

    def _count(self, usage: Any) -> None:
        self.counters["requests"] += 1
        if usage:
            self.counters["input"] += usage["prompt_tokens"]
            self.counters["output"] += usage["completion_tokens"]


def main() -> None:
    """Serve on a free port of loopback and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--upstream", required=True)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        BareProxy(options.upstream),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
