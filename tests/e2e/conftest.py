"""The systems the suite runs against: one process, four processes, or whatever LOCALROUTER_E2E_URL points at."""

import os
from collections.abc import Iterator

import pytest

from tests.support.system import System, Wall, embedded, separate, wall


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "system" in metafunc.fixturenames:
        kinds = ["given"] if "LOCALROUTER_E2E_URL" in os.environ else ["embedded", "processes"]
        metafunc.parametrize("system", kinds, indirect=True, scope="session")


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
