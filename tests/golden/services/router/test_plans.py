"""One catalog, one router a file, and the plan it makes: a change of any rule shows in the difference.

``LOCALROUTER_REGENERATE=1 pytest tests/golden/services/router`` writes what the plans are now.
"""

import os
from pathlib import Path

import msgspec
import pytest

from services.router.domain.defaults import DEFAULTS
from services.router.domain.router import problem_of
from services.router.domain.strategies import STRATEGIES
from shared.contracts.catalog import Model
from shared.contracts.config import RouterSpec
from shared.contracts.plan import Plan
from shared.routing.compile import compile_plan

HERE = Path(__file__).parent
CASES = sorted((HERE / "plans").glob("*.json"))


class Case(msgspec.Struct):
    """A router and its plan."""

    router: RouterSpec
    plan: Plan | None = None


def catalog() -> list[Model]:
    return msgspec.json.decode((HERE / "catalog.json").read_bytes(), type=list[Model])


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_router_makes_the_plan_that_it_made(path: Path):
    case = msgspec.json.decode(path.read_bytes(), type=Case)
    assert problem_of(case.router) is None
    plan = compile_plan("golden", case.router, catalog(), STRATEGIES, {})
    if os.environ.get("LOCALROUTER_REGENERATE"):
        written = msgspec.json.encode(Case(case.router, plan), order="deterministic")
        path.write_bytes(msgspec.json.format(written, indent=2) + b"\n")
    else:
        assert plan == case.plan


def test_the_default_routers_are_among_the_cases():
    routers = [msgspec.json.decode(path.read_bytes(), type=Case).router for path in CASES]
    assert all(default.spec in routers for default in DEFAULTS)
