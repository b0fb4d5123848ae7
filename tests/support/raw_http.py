"""HTTP as bytes on a socket: for requests that no client library would send, and answers as they came."""

import contextlib
import json
import socket
import struct
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.system import System

CHAT = "/v1/chat/completions"
LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first value of a header (``name`` in lower case)."""
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The error's code."""
        return self.json()["error"]["code"]


class Raw:
    """A connection; every wait on it ends after a limit."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 80), timeout=LIMIT_S)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave as a program that ends: FIN."""
        self._file.close()
        self.socket.close()

    def reset(self) -> None:
        """Leave as a program that crashes: RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def send(self, data: bytes) -> Self:
        """Send bytes as they are."""
        self.socket.sendall(data)
        return self

    def push(self, data: bytes, times: int) -> int:
        """Send ``data`` again and again until the other side has had enough; returns the bytes that left."""
        sent = 0
        with contextlib.suppress(OSError):
            for _ in range(times):
                self.socket.sendall(data)
                sent += len(data)
        return sent

    def line(self) -> bytes:
        """Return the next line, with its end; empty: the connection is closed."""
        return self._file.readline()

    def until(self, mark: bytes) -> bytes:
        """Return the lines up to one that holds ``mark``; raises AssertionError when they end before."""
        seen = b""
        while line := self.line():
            seen += line
            if mark in line:
                return seen
        raise AssertionError(f"no {mark!r} in {seen!r}")

    def rest(self) -> bytes:
        """Return what comes until the end of a chunked answer, as it came."""
        seen = b""
        while not seen.endswith(b"\r\n0\r\n\r\n"):
            line = self.line()
            assert line, f"the answer was cut after {len(seen)} bytes"
            seen += line
        return seen

    def closed(self) -> bool:
        """Wait for the end of the connection; False: bytes came instead."""
        try:
            return self._file.read(1) == b""
        except ConnectionError:
            return True

    def answer(self, method: str = "GET") -> Answer:
        """Read one answer."""
        first = self.line()
        assert first.startswith(b"HTTP/1.1 "), first
        headers: list[tuple[str, str]] = []
        while (line := self.line().rstrip(b"\r\n")) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name.strip().lower(), value.strip()))
        found = Answer(int(first.split()[1]), headers, b"")
        return Answer(found.status, headers, self._body(found, method))

    def _body(self, found: Answer, method: str) -> bytes:
        if method == "HEAD" or found.status == 204:
            return b""
        if found.header("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.line(), 16):
                body += self._file.read(size)
                self.line()
            self.line()
            return body
        length = found.header("content-length")
        return self._file.read(int(length)) if length is not None else self._file.read()


def head(method: str, path: str, *headers: str | bytes, host: str | None = "127.0.0.1") -> bytes:
    """Return a request's head; ``headers`` are whole lines."""
    lines: list[bytes] = [f"{method} {path} HTTP/1.1".encode()]
    if host is not None:
        lines.append(f"Host: {host}".encode())
    lines += [line if isinstance(line, bytes) else line.encode("latin-1") for line in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def post(path: str, body: Any, *headers: str | bytes) -> bytes:
    """Return a whole POST; a ``body`` that is no bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head("POST", path, f"Content-Length: {len(raw)}", *headers) + raw


def ask(url: str, request: bytes, method: str = "GET") -> Answer:
    """Send a request on a connection of its own and return the answer."""
    with Raw(url) as raw:
        return raw.send(request).answer(method)


def running(system: System) -> float:
    """Return how many requests the gateway says it is answering."""
    lines = system.http.get(f"{system.url}/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("localrouter_requests_running ")).split()[1])
