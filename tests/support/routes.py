"""A router over two providers that a scripted vendor stands behind: how they fail, and what everybody saw of it."""

import contextlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.raw_http import CHAT, Answer, ask, post, running
from tests.support.system import System, Wall, until

OFTEN = {"breaker_open_s": 1.0, "probe_interval_s": 5.0}
LIMITS = {"first_token_ms": 400, "first_token_slow_ms": 400, "idle_ms": 400, "total_ms": 10_000}
WORDS = [f"w{index}" for index in range(10)]
TEN = {"text": " ".join(WORDS), "events": 10}
COUNT = itertools.count()


@dataclass(frozen=True)
class Route:
    """A router over two providers of one model each, with short limits, and the key that leads to it."""

    system: System
    vendor: Wall
    auth: str
    first: str
    second: str

    def ask(self, *, stream: bool, **fields: Any) -> Answer:
        """Ask for an answer."""
        body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "stream": stream, **fields}
        return ask(self.system.url, post(CHAT, body, self.auth))

    def fails(self, *behaviours: dict[str, Any], model: str = "small", repeat: bool = False) -> None:
        """Say how the first provider (or the second, with ``model="large"``) fails."""
        self.vendor.script(*behaviours, model=model, repeat=repeat)

    def tried(self) -> list[str]:
        """Return the models that the vendor was asked for, in order."""
        return [attempt["model"] for attempt in self.vendor.attempts()]

    def record(self, answer: Answer) -> dict[str, Any]:
        """Return the one record of an answer."""
        wanted = answer.header("x-request-id")
        found = until(
            lambda: [item for item in self.system.items("requests") if item["id"] == wanted], "the record is there"
        )
        assert len(found) == 1
        return self.system.http.get(f"/requests/{wanted}").json()


@contextlib.contextmanager
def two_providers(
    system: System, vendor: Wall, second_vendor: str = "openai-compatible", **router: Any
) -> Iterator[Route]:
    """Make two providers that nobody has failed yet, a router over them with short limits, and a key for it."""
    number = next(COUNT)
    first, second = f"first-{number}", f"second-{number}"
    made = (("small", first, "openai-compatible"), ("large", second, second_vendor))
    for model, slug, kind in made:
        system.vendor(slug, kind, f"{vendor.url}/v1", [model], local=True, options={"models": [model], **OFTEN})
    models = [f"{first}/small", f"{second}/large"]
    order = {"mode": "manual", "models": models}
    made_router = system.create("routers", **{"name": f"Two {number}", "order": order, "fallback": LIMITS, **router})
    target = {"router": made_router["slug"]}
    key = until(lambda: (got := system.http.post("/keys", json={"target": target})).status_code == 201 and got, "a key")
    auth = f"Authorization: Bearer {key.json()['key']}"
    listed = post("/v1/models", b"", auth).replace(b"POST", b"GET", 1)
    until(lambda: f"router/{made_router['slug']}" in ask(system.url, listed).body.decode(), "the plan is there")
    vendor.reset()
    yield Route(system, vendor, auth, *models)
    until(lambda: running(system) == 0, "every request is over")


def events(answer: Answer) -> list[Any]:
    """Return the events of a stream, decoded; ``[DONE]`` as a text."""
    data = [line[6:] for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in data]


def text(answer: Answer, *, stream: bool) -> str:
    """Return what the model said."""
    if not stream:
        return answer.json()["choices"][0]["message"]["content"]
    shown = [event for event in events(answer) if event != "[DONE]" and event.get("choices")]
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in shown)


def error(status: int, **fields: Any) -> dict[str, Any]:
    return {"status": status, "error": {"message": "scripted failure", **fields}}


def over(attempt: dict[str, Any]) -> bool:
    """Whether the vendor is rid of an attempt: answered to its end, or its socket closed."""
    return bool(attempt["finished_at"] or attempt["closed_at"])


def without_resent(tried: list[str], how: dict[str, Any]) -> list[str]:
    """Return what was tried less what was sent twice: a kept connection that ends without a byte may be stale."""
    if how.get("where") != "before_headers":
        return tried
    return [model for model, group in itertools.groupby(tried) for _ in range(min(2, len(list(group))))]


def outcomes(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(attempt["model"], attempt["outcome"]) for attempt in record["attempts"]]
