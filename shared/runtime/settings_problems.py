"""What is wrong with the settings, in sentences: where it stands, what was found, what is allowed."""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from shared.kernel.redaction import redact
from shared.runtime.settings_schema import SectionInfo, Setting

_LONGEST_FOUND: Final = 80

Location = tuple[int | str, ...]


def describe(
    error: ValidationError,
    *,
    file: str,
    line_of: Callable[[Location], int],
    variables: Mapping[Location, str],
    known: Sequence[SectionInfo],
) -> list[str]:
    """Return one sentence for each mistake; ``variables``: which environment variable a value came from."""
    settings = {(setting.section, setting.name): setting for section in known for setting in section.settings}
    problems: list[tuple[int, str]] = []
    for item in error.errors():
        location = item["loc"]
        variable = variables.get(location[:2])
        line = line_of(location)
        where = variable or f"{file}:{line}"
        setting = settings.get((str(location[0]), str(location[1]))) if len(location) > 1 else None
        if item["type"] == "extra_forbidden":
            what = f"unknown name{_nearest(location, known)}"
        else:
            what = f"found {_found(item['input'], setting)}, allowed: {_allowed(item, setting, location, known)}"
        problems.append((0 if variable else line, f"{where}: {_path(location)}: {what}"))
    return [text for _, text in sorted(problems, key=lambda problem: problem[0])]


def unknown_variable(name: str, known: Sequence[SectionInfo]) -> str:
    """Return the sentence for an environment variable that is no setting."""
    names = [setting.variable for section in known for setting in section.settings]
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = f", did you mean {nearest[0]}?" if nearest else ""
    return f"{name}: no setting has this name{hint}"


def found(value: Any) -> str:
    """Return a value as a problem shows it: short, on one line, without credentials."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        text = repr(type(value).__name__)
    text = redact(text)
    return text if len(text) <= _LONGEST_FOUND else text[: _LONGEST_FOUND - 1] + "…"


def _found(value: Any, setting: Setting | None) -> str:
    return "***" if setting is not None and setting.secret else found(value)


def _allowed(item: Mapping[str, Any], setting: Setting | None, location: Location, known: Sequence[SectionInfo]) -> str:
    if setting is not None:
        return "a text" if len(location) > 2 else setting.allowed
    for section in known:
        if location == (section.name,):
            return "a section with " + ", ".join(setting.name for setting in section.settings)
    return str(item.get("ctx", {}).get("expected", item["msg"]))


def _nearest(location: Location, known: Sequence[SectionInfo]) -> str:
    name = str(location[-1])
    nearest = difflib.get_close_matches(name, list(_names_at(location, known)), n=1)
    if nearest:
        return f", did you mean {nearest[0]}?"
    elsewhere = [setting.path for section in known for setting in section.settings if setting.name == name]
    return f", did you mean {' or '.join(elsewhere)}?" if elsewhere else ""


def _names_at(location: Location, known: Sequence[SectionInfo]) -> Iterator[str]:
    for section in known:
        if len(location) == 1:
            yield section.name
        elif section.name == location[0]:
            yield from (setting.name for setting in section.settings)


def _path(location: Location) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
