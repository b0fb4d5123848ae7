"""What each setting is called, means, holds by default and allows, read off the schema of ``Settings``."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from shared.runtime.settings import VERSION, Settings

ENVIRONMENT_PREFIX: Final = "LOCALROUTER_"
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@-]*[A-Za-z0-9_/]|[A-Za-z]")
_WORDS_WITH_MEANING: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of the settings file."""

    section: str
    name: str
    default: Any
    description: str
    allowed: str
    """In words: "an integer from 1 to 65535"."""
    secret: bool
    is_list: bool
    optional: bool

    @property
    def path(self) -> str:
        """Its name in the file: ``server.port``."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """Its name in the environment: ``LOCALROUTER_SERVER__PORT``."""
        return f"{ENVIRONMENT_PREFIX}{self.section}__{self.name}".upper()


@dataclass(frozen=True, slots=True)
class SectionInfo:
    """One section of the settings file."""

    name: str
    description: str
    settings: tuple[Setting, ...]


def settings_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the settings file."""
    return Settings.model_json_schema()


def sections() -> tuple[SectionInfo, ...]:
    """Return every section with its settings, in the order of the schema."""
    schema = settings_schema()
    found: list[SectionInfo] = []
    for name, reference in schema["properties"].items():
        if name == "version":
            continue
        definition = schema["$defs"][reference["$ref"].rpartition("/")[2]]
        settings = tuple(_setting(name, *item) for item in definition["properties"].items())
        found.append(SectionInfo(name, definition.get("description", ""), settings))
    return tuple(found)


def _setting(section: str, name: str, schema: dict[str, Any]) -> Setting:
    kinds = schema.get("anyOf", [schema])
    return Setting(
        section=section,
        name=name,
        default=schema.get("default", []),
        description=schema.get("description", ""),
        allowed=" or ".join(_allowed(kind) for kind in kinds),
        secret=any(kind.get("format") == "password" for kind in kinds),
        is_list=schema.get("type") == "array",
        optional=any(kind.get("type") == "null" for kind in kinds),
    )


def _allowed(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(str(item) for item in schema["enum"])
    match schema.get("type"):
        case "integer":
            return "an integer" + _range(schema)
        case "number":
            return "a number" + _range(schema)
        case "boolean":
            return "true or false"
        case "array":
            return "a list of texts"
        case "null":
            return "null"
        case _:
            return f"a text matching {schema['pattern']}" if "pattern" in schema else "a text"


def _range(schema: dict[str, Any]) -> str:
    low, high, above = schema.get("minimum"), schema.get("maximum"), schema.get("exclusiveMinimum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}" if high < 1_000_000 else f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return f" above {above}" if above is not None else ""


def default_file() -> str:
    """Return the settings file that says every default and what it means."""
    return "\n".join(_default_lines()) + "\n"


def _default_lines() -> Iterator[str]:
    yield "# LocalRouter's settings. Every value below is the default; a line that is left out keeps it."
    yield "# The environment goes before this file: LOCALROUTER_SERVER__PORT=4000 is server.port, lists take commas."
    yield "# `localrouter config check` reads it and names every mistake."
    yield f"version: {VERSION}"
    for section in sections():
        yield ""
        if section.description:
            yield f"# {section.description}"
        yield f"{section.name}:"
        for setting in section.settings:
            yield f"  # {setting.description} ({setting.allowed})" if setting.description else f"  # {setting.allowed}"
            yield f"  {setting.name}: {yaml_value(setting.default)}"


def yaml_value(value: Any) -> str:
    """Return a default as YAML would say it."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not _reads_as_another(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _reads_as_another(text: str) -> bool:
    if text.lower() in _WORDS_WITH_MEANING:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True
