"""Requirements are pinned by hash, name no address, and are what pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def entries(path: Path) -> list[str]:
    """Return the requirements of a file, each with its hashes on one line."""
    return path.read_text().replace("\\\n", " ").splitlines()


def pins(path: Path) -> dict[str, str]:
    requirements = [Requirement(entry.partition("--hash")[0].strip()) for entry in entries(path)]
    return {canonicalize_name(item.name): str(item.specifier).removeprefix("==") for item in requirements}


def extra(name: str) -> list[Requirement]:
    """Return what an extra asks for, extras of our own resolved."""
    found: list[Requirement] = []
    for text in PROJECT["project"]["optional-dependencies"][name]:
        requirement = Requirement(text)
        if requirement.name == "localrouter":
            for other in sorted(requirement.extras):
                found += extra(other)
        else:
            found.append(requirement)
    return found


def asked(name: str) -> list[Requirement]:
    if name == "build":
        return [Requirement(text) for text in PROJECT["build-system"]["requires"]]
    if name == "local-model":
        return extra(name)
    return [Requirement(text) for text in PROJECT["project"]["dependencies"]] + extra(name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_requirement_is_pinned_with_hashes(path: Path) -> None:
    for entry in entries(path):
        assert re.match(r"[a-z0-9._-]+==[^ ]+ ( ; [^-]+)? *", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), f"no hash: {entry[:60]}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_address_and_no_option_but_hashes(path: Path) -> None:
    # An address would bind everybody to the index of whoever compiled the file.
    text = path.read_text()
    assert "://" not in text
    assert "@" not in text
    assert set(re.findall(r"--[a-z-]+", text)) <= {"--hash"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_requirements_are_what_the_project_asks_for(path: Path) -> None:
    have = pins(path)
    for requirement in asked(path.stem):
        name = canonicalize_name(requirement.name)
        assert name in have, f"{requirement}: make requirements was not run"
        assert requirement.specifier.contains(have[name], prereleases=True), f"{requirement}: {have[name]} is pinned"


def test_one_version_of_everything_everywhere() -> None:
    versions: dict[str, set[str]] = {}
    for path in FILES:
        for name, version in pins(path).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}
