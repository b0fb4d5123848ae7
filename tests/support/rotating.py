"""Requests, and credentials that are stored, while the master key is rotated."""

import contextlib
import threading

import httpx

from tests.support.system import System

HELLO = {"model": "wall/small", "messages": [{"role": "user", "content": "Hello"}]}


def ask(url: str, key: str) -> int:
    """Ask for an answer and return the status."""
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{url}/v1/chat/completions", json=HELLO, headers=headers, timeout=20).status_code


class Load(threading.Thread):
    """Requests, and credentials that are stored, until it is told to stop or nobody answers."""

    def __init__(self, system: System, key: str, canary: str) -> None:
        super().__init__(daemon=True)
        self.answers: list[int] = []
        self.stored = 0
        self.enough = threading.Event()
        self._system, self._key, self._canary = system, key, canary
        self.start()

    def run(self) -> None:
        """Ask and store."""
        with contextlib.suppress(httpx.TransportError):
            while not self.enough.is_set():
                self.answers.append(ask(self._system.url, self._key))
                body = {"value": f"{self._canary}-{self.stored}", "name": f"n{self.stored % 5}"}
                if self._system.http.put("/providers/other/credentials", json=body).status_code == 200:
                    self.stored += 1


def rotate(system: System) -> None:
    """Rotate the master key; the gateway may end meanwhile."""
    with contextlib.suppress(httpx.TransportError):
        system.http.post("/secrets/rotate", json={"what": "master"})
