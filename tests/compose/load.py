"""Requests without pause, each with an id of its own, and what became of each: to be joined with other accounts."""

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Self

import httpx

PAUSE_S = 0.02


@dataclass
class Outcome:
    """What a client saw of one request."""

    id: str
    at: float
    complete: bool = False
    why: str = ""


@dataclass
class Load:
    """Clients that ask until they are told to stop, by turns at each URL; every other request is a stream."""

    urls: list[str]
    key: str
    clients: int = 4
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(self.clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def failed(self, since: float, until: float = float("inf")) -> list[Outcome]:
        """Return the requests that began in a time and did not end well."""
        return [one for one in list(self.outcomes) if since <= one.at < until and not one.complete]

    def _run(self, number: int) -> None:
        with httpx.Client(timeout=60, verify=False, headers={"authorization": f"Bearer {self.key}"}) as http:
            count = number
            while not self._stopping.wait(PAUSE_S):
                count += 1
                outcome = Outcome(str(uuid.uuid4()), time.monotonic())
                try:
                    self._ask(http, self.urls[count % len(self.urls)], outcome, stream=count % 2 == 0)
                except httpx.HTTPError as error:
                    outcome.why = repr(error)
                self.outcomes.append(outcome)

    def _ask(self, http: httpx.Client, url: str, outcome: Outcome, *, stream: bool) -> None:
        body = {"model": "auto", "stream": stream, "messages": [{"role": "user", "content": f"Hello {outcome.id}"}]}
        headers = {"x-localrouter-tags": f"load={outcome.id}"}
        with http.stream("POST", f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
            text = answer.read().decode(errors="replace")
        outcome.complete = answer.status_code == 200 and (not stream or "data: [DONE]" in text)
        outcome.why = "" if outcome.complete else f"{answer.status_code} {text[-300:]}"
