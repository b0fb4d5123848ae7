"""The stack that ``python -m tests.compose`` built: started once, in the order of the tests' file."""

import os
import shlex
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compose.engine import Engine
from tests.compose.stack import Stack
from tests.support.system import System, Wall, wall

FOLDER = "LOCALROUTER_COMPOSE_FOLDER"


@pytest.fixture(scope="session")
def built() -> Stack:
    """The stack, built."""
    if FOLDER not in os.environ:
        pytest.skip("needs containers: make compose-test")
    docker, compose = shlex.split(os.environ["LOCALROUTER_COMPOSE_ENGINE"])
    files = tuple(map(Path, os.environ["LOCALROUTER_COMPOSE_FILES"].split(os.pathsep)))
    return Stack(Engine(docker, compose), files, Path(os.environ[FOLDER]), int(os.environ["LOCALROUTER_COMPOSE_PORT"]))


@pytest.fixture(scope="session")
def stack(built: Stack) -> Stack:
    """The stack, up and healthy."""
    started = time.monotonic()
    built.compose("up", "--detach", "--wait", "--wait-timeout", "200", limit_s=240)
    print(f"\nup and healthy after {time.monotonic() - started:.1f} s")
    return built


@pytest.fixture(scope="session")
def system(stack: Stack) -> Iterator[System]:
    """LocalRouter as it is published."""
    with System(f"http://127.0.0.1:{stack.port}", stack.admin_token()) as given:
        yield given


@pytest.fixture(scope="session")
def vendor(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    """The scripted vendor, on this machine as containers see it."""
    with wall(tmp_path_factory.mktemp("wall"), host=stack.host_address()) as running:
        yield running


@pytest.fixture
def key(vendor: Wall, system: System) -> dict[str, Any]:
    """A key of its own for a provider of its own, which forgot what came before."""
    name = f"load-{uuid.uuid4().hex[:8]}"
    vendor.reset()
    system.provider(vendor.url, name, ["small"])
    return system.create("keys", name=name, target={"model": f"{name}/small"})
