"""Providers of every vendor live, die and come back: added, tested, asked, killed, routed around, found well again."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from services.providers.domain.registry import VENDORS
from tests.support.system import System, Wall, until, wall

MODEL = "gemini-2.5-flash"
BASES = {"gemini": "/v1beta", "ollama_chat": "", "cohere_chat": ""}
"""Where below the scripted vendor's address a vendor of a dialect has its base; others have ``/v1``."""
ASKED = sorted(slug for slug in VENDORS if slug != "local")
"""Whom the scripted vendor can be: the built-in model is nobody else's."""
FEW = ["anthropic", "cohere", "gemini", "ollama", "openai-compatible"]
"""One of each dialect."""
PERIOD_S = 1.0
LATE_S = 20.0
"""Two cores and two dozen providers: a limit, not a goal."""


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator["Mortal"]:
    with Mortal(tmp_path) as running:
        yield running


class Mortal:
    """A scripted vendor that can be killed and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._life = contextlib.ExitStack()
        self.wall: Wall

    def __enter__(self) -> "Mortal":
        self.wall = self._life.enter_context(wall(self._folder, MODEL))
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self._life.close()

    def revive(self) -> None:
        port = urlsplit(self.wall.url).port
        assert port is not None
        self.wall = self._life.enter_context(wall(self._folder, MODEL, port=port))


@pytest.mark.parametrize("vendors", [FEW, pytest.param(ASKED, marks=pytest.mark.faults)], ids=["few", "all"])
def test_vendors_live_die_and_come_back(system: System, vendor: Wall, mortal: Mortal, vendors: list[str]) -> None:
    run = uuid.uuid4().hex[:6]
    slugs = {f"{name}-{run}": name for name in vendors}
    numbers = {"probe_interval_s": PERIOD_S, "probe_timeout_s": 1, "breaker_open_s": 1}
    for slug, name in slugs.items():
        path = BASES.get(VENDORS[name].speech, "/v1")
        fields: dict[str, Any] = {"slug": slug, "vendor": name, "base_url": mortal.wall.url + path, "local": True}
        trial = {key: value for key, value in fields.items() if key != "slug"}
        tried = system.http.post("/providers/test", json={**trial, "credential": "vendor-secret"})
        assert (tried.status_code, tried.json()["ok"]) == (200, True), (slug, tried.text)
        system.create("providers", **fields, options={**numbers, "models": [MODEL]})
        stored = system.http.put(f"/providers/{slug}/credentials", json={"value": "vendor-secret"})
        assert (stored.status_code, stored.json()["state"]) == (200, "in_use")
        tested = system.http.post(f"/providers/{slug}/test").json()
        assert (tested["ok"], tested["health"], tested["http_status"]) == (True, "healthy", 200), (slug, tested)
    wanted = {f"{slug}/{MODEL}" for slug in slugs}
    until(lambda: wanted <= {item["id"] for item in system.items("models")}, "the models of every vendor", 60)
    targets = routes(system, list(slugs))
    with httpx.Client(base_url=system.url, timeout=20) as http:
        for slug, key in targets.items():
            until(lambda key=key, slug=slug: answered(http, key, stream=False) == (slug, "1"), "the plan is there")
            assert answered(http, key, stream=True) == (slug, "1")

        told = system.requests(1)[0]["inputs"]["LR_HEALTH"]
        mortal.kill()
        until(lambda: states(system, slugs, "health") == {"unhealthy"}, "every provider is unhealthy", LATE_S)
        if measured(system):
            assert {metric(system, "provider_up", slug) for slug in slugs} == {0.0}
        for key in targets.values():
            until(lambda key=key: answered(http, key, stream=False) == ("wall", "1"), "it is routed around", LATE_S)
        until(lambda: newest(system) == ["unhealthy"], "the record says so: the overlay was told by an event")
        assert system.requests(1)[0]["inputs"]["LR_HEALTH"] >= told + len(slugs), "each went down by an event"
        system.http.post("/models/refresh").raise_for_status()
        asked = {slug for slug, name in slugs.items() if VENDORS[name].models_path is not None}
        assert stale(system, slugs) == asked, "the models stay, as the last that are known"
        assert wanted <= {item["id"] for item in system.items("models")}

        mortal.revive()
        until(lambda: states(system, slugs, "health") == {"healthy"}, "every provider is well again", LATE_S)
        for slug, key in targets.items():
            until(lambda key=key, slug=slug: answered(http, key, stream=True) == (slug, "1"), "it answers", LATE_S)
        if measured(system):
            assert {metric(system, "provider_up", slug) for slug in slugs} == {1.0}
        until(lambda: stale(system, slugs) == set(), "the models are listed again")
    listed = {item["slug"]: item for item in system.command("providers", "list")["items"]}
    assert {listed[slug]["health"] for slug in slugs} == {"healthy"}
    for slug in slugs:
        remove(system, slug)


def test_three_failures_are_enough_whatever_the_probe_says(system: System, vendor: Wall, mortal: Mortal) -> None:
    slug = f"failing-{uuid.uuid4().hex[:6]}"
    options = {"probe_interval_s": 3600, "breaker_open_s": 3600}
    system.vendor(slug, "openai-compatible", f"{mortal.wall.url}/v1", [MODEL], local=True, options=options)
    key = routes(system, [slug])[slug]
    until(lambda: states(system, [slug], "health") == {"healthy"}, "the first probe")
    mortal.wall.script({"status": 500, "error": {"message": "broken", "type": "server_error"}}, repeat=True)
    with httpx.Client(base_url=system.url, timeout=20) as http:
        while states(system, [slug], "breaker") == {"closed"}:
            assert answered(http, key, stream=False)[0] == "wall"
        failed = len(mortal.wall.attempts())
        assert failed in (3, 4), "two tries of one request may both be under way"
        assert states(system, [slug], "breaker") == {"open"}
        until(lambda: answered(http, key, stream=False) == ("wall", "1"), "it is routed around")
        if measured(system):
            assert metric(system, "circuit_state", slug) == 2.0
        mortal.wall.reset()
        shown = system.command("providers", "breaker-reset", slug)
        assert (shown["breaker"], shown["health"]) == ("closed", "healthy")
        until(lambda: answered(http, key, stream=False) == (slug, "1"), "it is asked again")
        if measured(system):
            assert metric(system, "circuit_state", slug) == 0.0
            assert metric(system, "attempts_total", slug, outcome="server_error") == failed
    remove(system, slug)


def routes(system: System, slugs: list[str]) -> dict[str, str]:
    """Return a key for each provider, whose router asks it first and ``wall`` if it is not well."""
    keys: dict[str, str] = {}
    for slug in slugs:
        order = {"mode": "manual", "models": [f"{slug}/{MODEL}", "wall/small"]}
        system.create("routers", slug=f"to-{slug}", name=slug, order=order)
        keys[slug] = until(lambda slug=slug: made(system, slug), f"a key for {slug}")
    return keys


def made(system: System, slug: str) -> str | None:
    answer = system.http.post("/keys", json={"target": {"router": f"to-{slug}"}})
    return answer.json()["key"] if answer.status_code == 201 else None


def answered(http: httpx.Client, key: str, *, stream: bool) -> tuple[str, str] | None:
    """Return who answered, and in how many attempts."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello there"}], "stream": stream}
    said = http.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
    if said.status_code != 200:
        return None
    assert "hello" in said.text
    assert not stream or said.text.rstrip().endswith("data: [DONE]")
    return said.headers["x-localrouter-provider"], said.headers["x-localrouter-attempts"]


def states(system: System, slugs: Any, field: str) -> set[str]:
    """Return how the providers are."""
    return {item[field] for item in system.items("providers") if item["slug"] in slugs}


def stale(system: System, slugs: Any) -> set[str]:
    """Return the providers whose models are only the last known."""
    return {item["provider"] for item in system.items("models") if item["stale"] and item["provider"] in slugs}


def newest(system: System) -> list[str]:
    """Return why candidates of the newest request were passed over."""
    return [item["cause"] for item in system.requests(1)[0]["excluded"]]


def metric(system: System, name: str, slug: str, **labels: str) -> float | None:
    """Return the value of a metric of a provider."""
    wanted = {f'{label}="{value}"' for label, value in {"provider": slug, **labels}.items()}
    for line in metrics(system).splitlines():
        if line.startswith(f"localrouter_{name}{{") and all(label in line for label in wanted):
            return float(line.rpartition(" ")[2])
    return None


def metrics(system: System) -> str:
    return system.http.get(f"{system.url}/metrics").raise_for_status().text


def measured(system: System) -> bool:
    """Whether the gateway shows the metrics of providers; a process of their own keeps them for itself."""
    return "localrouter_provider_up{" in metrics(system)


def remove(system: System, slug: str) -> None:
    """Take away what a test added."""
    for key in system.items("keys"):
        if key["target"].get("router") == f"to-{slug}":
            system.http.delete(f"/keys/{key['id']}").raise_for_status()
    system.http.delete(f"/routers/to-{slug}").raise_for_status()
    until(lambda: system.http.delete(f"/providers/{slug}").status_code == 204, "nobody uses it any more")
