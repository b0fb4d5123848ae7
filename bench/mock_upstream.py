"""The mock upstream for machines without a C compiler: the answers of ``mock_upstream.c``, by asyncio, more slowly."""

import asyncio
import sys
from typing import Any

import msgspec

EVENTS = 32
BODY_BYTES = 630
USAGE = {"prompt_tokens": 100, "completion_tokens": 64, "total_tokens": 164}
ENVELOPE: dict[str, Any] = {"id": "chatcmpl-bench", "created": 1_767_225_600, "model": "mock"}


def _answer(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _whole() -> bytes:
    def body(text: str) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        fields = ENVELOPE | {"object": "chat.completion", "choices": [choice], "usage": USAGE}
        return msgspec.json.encode(fields)

    return body("benchmark "[0] * (BODY_BYTES - len(body(""))))


def _chunk(fields: dict[str, Any] | None) -> bytes:
    text = b"[DONE]" if fields is None else msgspec.json.encode(ENVELOPE | {"object": "chat.completion.chunk"} | fields)
    event = b"data: " + text + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


WHOLE = _answer(_whole())
MODELS = _answer(msgspec.json.encode({"object": "list", "data": [{"id": "mock", "object": "model"}]}))
FINE = _answer(b'{"status":"ok"}')
STREAM = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    *(
        _chunk({"choices": [{"index": 0, "delta": {"content": f" word{n:02}"}, "finish_reason": None}]})
        for n in range(EVENTS)
    ),
    _chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    _chunk({"choices": [], "usage": USAGE}),
    _chunk(None),
    b"0\r\n\r\n",
]


class Peer(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            if head.startswith(b"get "):
                self._transport.write(MODELS if b"/models" in head.split(b"\r\n")[0] else FINE)
            elif b'"stream":true' in body or b'"stream": true' in body:
                for part in STREAM:
                    self._transport.write(part)
            else:
                self._transport.write(WHOLE)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Peer, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
