"""A stream that breaks and is gone on with by another vendor's model: every official SDK takes it for one answer."""

import uuid
from collections.abc import Iterator

import pytest

from tests.support.clients import CLIENTS, Client
from tests.support.system import System, Wall, until

WORDS = [f"w{number}" for number in range(10)]
CUT = {"text": " ".join(WORDS), "events": 10, "fault": "close", "after": 5}
"""After 5 events with content: dialects have others besides those with words."""
REST = {"text": " " + " ".join(WORDS[5:]), "events": 5}
CHAT, ON = "gemini-2.5-flash", "goes-on"
FAMILIES = {
    "openai": ("openai", "/v1"),
    "anthropic": ("anthropic", "/v1"),
    "gemini": ("gemini", "/v1beta"),
    "ollama": ("ollama", ""),
}
"""A vendor of each family, and where below the scripted vendor's address it has its base."""


@pytest.fixture(scope="module")
def routers(families_wall: Wall, system: System) -> dict[str, str]:
    """A router for each family, whose model breaks and is followed by one that takes a prefill."""
    run = uuid.uuid4().hex[:8]
    common = {"credential": "vendor-secret", "local": True}
    patient = {"breaker_failures": 1_000}
    listed = {"models": [ON], **patient}
    system.vendor(f"on-{run}", "llamacpp", f"{families_wall.url}/v1", [ON], options=listed, **common)
    routers: dict[str, str] = {}
    for family, (vendor, path) in FAMILIES.items():
        slug = f"cut-{family}-{run}"
        system.vendor(slug, vendor, families_wall.url + path, [CHAT], options=patient, **common)
        order = {"mode": "manual", "models": [f"{slug}/{CHAT}", f"on-{run}/{ON}"]}
        made = system.create("routers", name=slug, order=order, on_cut="continue")
        routers[family] = f"router/{made['slug']}"
    return routers


@pytest.fixture(scope="module")
def clients(system: System, routers: dict[str, str]) -> Iterator[dict[type, Client]]:
    """One of each SDK."""
    target = {"router": next(iter(routers.values())).removeprefix("router/")}
    made = until(
        lambda: (
            (got := system.http.post("/keys", json={"target": target, "allowed": ["*"]})).status_code == 201 and got
        ),
        "a key",
    )
    key = made.json()["key"]
    sdks: dict[type, Client] = {kind: kind(system.url, key) for kind in CLIENTS}
    yield sdks
    for client in sdks.values():
        client.close()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_every_sdk_takes_it_for_one_answer(
    clients: dict[type, Client], routers: dict[str, str], replay: Wall, family: str, client: type
) -> None:
    replay.script(CUT, model=CHAT)
    replay.script(REST, model=ON)
    said = clients[client].ask(routers[family], "Count.", stream=True)
    first, second = replay.attempts()
    shown = first["text_sent"]
    assert shown.split() == WORDS[: len(shown.split())] != []
    assert (said.text, said.finish, said.calls) == (shown + REST["text"], "stop", [])
    assert (first["model"], second["model"]) == (CHAT, ON)
    assert second["body"]["messages"][-1] == {"role": "assistant", "content": shown}
