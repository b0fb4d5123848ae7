"""Small rules about the sources that no linter has, each with its reason."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path for name in ("services", "shared") for path in (ROOT / name).rglob("*.py"))
FOLDERS = ("services", "shared", "tests", "bench", "docs", "requirements", ".ci")
TEXTS = sorted(
    path
    for path in [*ROOT.glob("*"), *(path for name in FOLDERS for path in (ROOT / name).rglob("*"))]
    if path.is_file()
    and (
        path.suffix in {".py", ".md", ".toml", ".txt", ".c", ".yaml", ".yml", ".json"}
        or path.name in {"Makefile", "run", ".importlinter"}
    )
)
BROAD = {"Exception", "BaseException"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def caught(handler: ast.ExceptHandler) -> set[str]:
    if handler.type is None:
        return {"BaseException"}
    parts = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {part.id for part in parts if isinstance(part, ast.Name)}


def test_catching_everything_has_its_reason_beside_it() -> None:
    # It hides bugs; where one part's failure must not end the others, the line says so.
    found: list[str] = []
    for path in SHIPPED:
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if not isinstance(node, ast.ExceptHandler) or not caught(node) & BROAD:
                continue
            again = isinstance(node.body[-1], ast.Raise)
            if not again and not re.search(r"# (noqa: BLE001\s+)?(?!noqa)\S.{10,}", lines[node.lineno - 1]):
                found.append(f"{name(path)}:{node.lineno}")
    assert found == []


def test_an_ignored_rule_has_its_reason_beside_it() -> None:
    # An ignore without a reason can never be taken away again; a comment on the line above will do.
    reasoned = re.compile(r"# noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*\s+\S")
    found: list[str] = []
    for path in SHIPPED:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            above = "".join(lines[max(0, number - 2) : number])
            if "# noqa" in line and not reasoned.search(line) and "#" not in above:
                found.append(f"{name(path)}:{number + 1}")
    assert found == []


def test_services_is_a_namespace() -> None:
    # So that a service's folder can be copied beside shared/ without anything above it.
    assert not (ROOT / "services" / "__init__.py").exists()


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    place = re.compile("|".join(f"(?<![A-Za-z0-9_.}}])/{name}/" for name in ("work", "root", "Users")))
    found = [
        f"{name(path)}:{number}"
        for path in TEXTS
        if path != Path(__file__) and "__pycache__" not in path.parts
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if place.search(line)
    ]
    assert found == []
