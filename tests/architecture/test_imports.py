"""The import contracts hold, and each of them is seen to break when somebody walks through a wall."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# One violation for each contract: the file it goes into, and the import that must be caught.
VIOLATIONS = {
    "No service opens another's door": ("services/gateway/domain/key.py", "import services.router.domain"),
    "Inside a service: process, composition root, edges, core": (
        "services/gateway/api/__init__.py",
        "import services.gateway.adapters",
    ),
    "The rings of shared point inwards": ("shared/kernel/money.py", "import shared.contracts.plan"),
    "The core knows no clock, no chance, no input and no output": ("shared/contracts/envelope.py", "import asyncio"),
    "In the core only kernel.secrets does cryptography": ("shared/kernel/ids.py", "import cryptography"),
    "Nothing that ships imports what tests are made of": (
        "services/metrics/domain/__init__.py",
        "import shared.testing.deciders",
    ),
    "Vendors are independent": (
        "services/providers/domain/vendors/openai.py",
        "import services.providers.domain.vendors.ollama",
    ),
    "Dialects are independent": (
        "services/providers/domain/dialects/openai_chat/dialect.py",
        "import services.providers.domain.dialects.ollama",
    ),
    "Strategies are independent": (
        "services/router/domain/strategies/lowest_cost.py",
        "import services.router.domain.strategies.local_first",
    ),
    "Implementations of the log are independent": ("shared/log/nats.py", "import shared.log.memory"),
    "No cycles": ("shared/log/port.py", "import shared.log.memory"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    # Started so that only ``folder`` is looked at, even where the project is installed as editable.
    code = (
        "import sys\n"
        f"sys.path[:] = [{str(folder)!r}, *(path for path in sys.path if path not in ({str(ROOT)!r}, ''))]\n"
        "from importlinter.cli import lint_imports_command\n"
        "lint_imports_command(['--no-logo', '--no-cache'])\n"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def contract_names() -> list[str]:
    lines = (ROOT / ".importlinter").read_text().splitlines()
    return [line.partition("=")[2].strip() for line in lines if line.startswith("name =")]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("services", "shared"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_the_walls_hold(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_wall_is_seen_to_break(copy: Path) -> None:
    for name, line in VIOLATIONS.values():
        path = copy / name
        path.write_text(f"{path.read_text()}\n{line}\n")
    result = lint(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    kept = [name for name in VIOLATIONS if f"{name} BROKEN" not in result.stdout]
    assert kept == []


def test_every_contract_has_its_violation() -> None:
    assert sorted(VIOLATIONS) == sorted(contract_names())
