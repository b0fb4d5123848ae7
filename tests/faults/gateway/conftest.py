"""One running LocalRouter and one scripted vendor for the whole of the attack."""

from collections.abc import Iterator

import pytest

from tests.support.system import System, Wall, embedded, wall


@pytest.fixture(scope="session")
def running_wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    """The scripted vendor."""
    with wall(tmp_path_factory.mktemp("wall")) as running:
        yield running


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory, running_wall: Wall) -> Iterator[System]:
    """The system under attack, with the vendor as provider ``wall``."""
    with embedded(tmp_path_factory.mktemp("system")) as running:
        running.provider(running_wall.url, "wall", ["small", "large"])
        yield running


@pytest.fixture(scope="session")
def key(system: System) -> str:
    """A key whose target is the vendor's small model, with no allow-list."""
    return system.key(target={"model": "wall/small"})


@pytest.fixture(scope="session")
def auth(key: str) -> str:
    """The header line that proves the key."""
    return f"Authorization: Bearer {key}"


@pytest.fixture
def vendor(running_wall: Wall) -> Wall:
    """The scripted vendor, forgetful of what came before."""
    running_wall.reset()
    return running_wall
