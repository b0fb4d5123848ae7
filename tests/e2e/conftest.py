"""The systems the suite runs against: one process, four processes, or whatever LOCALROUTER_E2E_URL points at."""

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.support.system import System, Wall, embedded, separate, wall


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "system" in metafunc.fixturenames:
        kinds = ["given"] if "LOCALROUTER_E2E_URL" in os.environ else ["embedded", "processes"]
        metafunc.parametrize("system", kinds, indirect=True, scope="session")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to ``make test-faults`` what four processes do as one does: between them travel frames, of no dialect."""
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if (
            params.get("system") == "processes"
            and params.get("family") is not None
            and not item.name.startswith(("test_words", "test_tools"))
        ):
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="session")
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running LocalRouter; ``given``: LOCALROUTER_E2E_URL with LOCALROUTER_ADMIN_TOKEN."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "given":
        with System(os.environ["LOCALROUTER_E2E_URL"], os.environ["LOCALROUTER_ADMIN_TOKEN"]) as given:
            yield given
        return
    start = {"embedded": embedded, "processes": separate}[request.param]
    with start(folder) as running:
        yield running


@pytest.fixture(scope="session")
def running_wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    """The scripted vendor."""
    with wall(tmp_path_factory.mktemp("wall")) as running:
        yield running


@pytest.fixture
def vendor(running_wall: Wall, system: System) -> Wall:
    """The scripted vendor, forgetful of what came before, as provider ``wall`` of the system."""
    running_wall.reset()
    if not any(item["slug"] == "wall" for item in system.items("providers")):
        system.provider(running_wall.url, "wall", ["small", "large"])
    return running_wall


CHAT, VECTORS = "gemini-2.5-flash", "text-embedding-small"
FAMILIES = {
    "openai": ("openai", "/v1"),
    "compatible": ("openai-compatible", "/v1"),
    "anthropic": ("anthropic", "/v1"),
    "gemini": ("gemini", "/v1beta"),
    "ollama": ("ollama", ""),
}
"""Vendors of the four families (of OpenAI's one with responses and one without), and where below the scripted vendor's
address each has its base."""


@pytest.fixture(scope="session")
def families_wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    """The scripted vendor as a vendor of every family."""
    with wall(tmp_path_factory.mktemp("families"), f"{CHAT},{VECTORS}") as running:
        yield running


@pytest.fixture(scope="session")
def providers(families_wall: Wall, system: System) -> Iterator[dict[str, str]]:
    """A provider of each family, by the family: its slug, which no other run has."""
    run = uuid.uuid4().hex[:8]
    made: dict[str, str] = {}
    for family, (vendor, path) in FAMILIES.items():
        made[family] = f"{family}-{run}"
        url = families_wall.url + path
        system.vendor(made[family], vendor, url, [CHAT], local=True, credential="vendor-secret")
    yield made
    for slug in made.values():
        system.http.delete(f"/providers/{slug}")


@pytest.fixture
def replay(families_wall: Wall) -> Wall:
    """The scripted vendor of every family, forgetful of what came before."""
    families_wall.reset()
    return families_wall
