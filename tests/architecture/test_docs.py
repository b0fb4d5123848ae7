"""What the documentation names is there: pages, sections, files, make targets, commands with their options, modules."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from services.cli.app import build
from services.cli.later import PANEL

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
GENERATED = ROOT / "docs" / "reference"
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`\n]+)`")
MODULE = re.compile(r"python -m ((?:services|shared|docs|bench|tests)[\w.]*)(\$?)")
PATH = re.compile(r"(?:services|shared|docs|tests|bench|requirements)/[\w./-]*")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=named)


def slug(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@cache
def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text())
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{named(page)} links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{named(page)} links to {link}, a section that is not there"


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            found = LINK.findall(FENCE.sub("", page.read_text()))
            links = (link.partition("#")[0] for link in found if not re.match(r"[a-z]+:", link))
            waiting += [path for link in links if (path := (page.parent / link).resolve()).suffix == ".md"]
    assert set(PAGES) - reached == set()


def code(page: Path) -> Iterator[str]:
    """Yield what a reader may paste: the lines of fenced blocks, continued ones joined, and single spans."""
    text = page.read_text()
    for block in FENCE.findall(text):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines()[1:-1])
    yield from SPAN.findall(FENCE.sub("", text))


TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


@every_page
def test_make_targets_exist(page: Path) -> None:
    for line in code(page):
        found = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*make ([a-z-]+)", line)
        assert found is None or found[1] in TARGETS, f"{named(page)}: {line}"


def command_line(line: str) -> list[str] | None:
    """Return the words after ``localrouter`` where a line is a command; what follows it in the shell is left out."""
    found = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*localrouter (?![─│ ])(?P<rest>.*)", line)
    if found is None:
        return None
    words = shlex.split(found["rest"].replace("…", "VALUE"), comments=True)
    ends = [index for index, word in enumerate(words) if word in {"|", "&&", ";", "&", ">"}]
    return words[: ends[0]] if ends else words


@cache
def commands() -> Any:
    return typer.main.get_command(build())


def wrong_with(words: list[str]) -> str | None:
    """Return what the command line has not got of ``words``; values are not looked at."""
    command = commands()
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    if command.help == f"{PANEL}.":
        return "is not there yet"
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    options |= {"--help", "-h"}
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    unknown = [word for word in given if word not in options]
    return f"no option {unknown[0]!r}" if unknown else None


@pytest.mark.parametrize("page", [page for page in PAGES if GENERATED not in page.parents], ids=named)
def test_commands_and_their_options_exist(page: Path) -> None:
    for line in code(page):
        words = command_line(line)
        wrong = None if words is None else wrong_with(words)
        assert wrong is None, f"{named(page)}: {wrong}: {line}"


@every_page
def test_modules_to_run_exist(page: Path) -> None:
    for line in code(page):
        for name, shell_variable in MODULE.findall(line):
            path = ROOT / name.rstrip(".").replace(".", "/")
            module = path.with_suffix(".py").exists() or (path / "__main__.py").exists()
            assert module or shell_variable, f"{named(page)}: {line}"


@every_page
def test_files_of_the_project_exist(page: Path) -> None:
    for span in code(page):
        if PATH.fullmatch(span):
            assert (ROOT / span).exists(), f"{named(page)}: {span}"


def test_what_is_wrong_is_seen() -> None:
    assert wrong_with(["keys", "make"]) == "no command 'make'"
    assert wrong_with(["upgrade"]) == "is not there yet"
    assert wrong_with(["usage", "--grouped-by", "key"]) == "no option '--grouped-by'"
    assert command_line("localrouter usage | head") == ["usage"]
    assert command_line("LOCALROUTER_URL=http://h $ localrouter") is None
    assert slug("When a model is down, and why") == "when-a-model-is-down-and-why"
