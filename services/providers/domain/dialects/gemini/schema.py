"""JSON schemas as Gemini takes them: whole, but for two forms that it reads otherwise or not at all.

https://ai.google.dev/api/generate-content#FIELDS.response_json_schema: a part with ``$ref`` holds nothing besides but
keywords that begin with ``$``; ``const`` is not among the keywords that count, ``enum`` is.
"""

from typing import Any, Final, cast

from services.providers.domain.canonical import Json

_VALUES: Final = frozenset({"enum", "const", "default", "example", "examples"})
"""Keywords whose values are data, not schemas."""


def taken(schema: Json) -> Json:
    """Return the schema as Gemini takes it."""
    return cast("Json", _taken(schema))


def _taken(node: object) -> Any:
    if isinstance(node, list):
        return [_taken(item) for item in cast("list[object]", node)]
    if not isinstance(node, dict):
        return node
    fields = cast("Json", node)
    if isinstance(fields.get("$ref"), str):
        return {name: _taken(value) for name, value in fields.items() if name.startswith("$")}
    found = {
        name: _named(cast("Json", value))
        if name in ("properties", "$defs", "definitions") and isinstance(value, dict)
        else value
        if name in _VALUES
        else _taken(value)
        for name, value in fields.items()
    }
    if "const" in found and "enum" not in found:
        found["enum"] = [found.pop("const")]
    return found


def _named(schemas: Json) -> Json:
    """A map of names to schemas: its keys are no keywords."""
    return {name: _taken(schema) for name, schema in schemas.items()}
