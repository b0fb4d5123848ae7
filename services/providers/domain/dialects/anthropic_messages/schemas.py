"""JSON schemas as Anthropic's constrained decoding takes them.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

from typing import Any, cast

from services.providers.domain.canonical import Json


def closed(schema: Json) -> Json:
    """Return a schema whose objects say that they hold nothing else, as is demanded where they do not say.

    Whatever fits the closed schema fits the open one too.
    """
    return cast("Json", _closed(schema))


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    found = {name: _inner(name, value) for name, value in cast("Json", node).items()}
    if found.get("type") == "object" or "properties" in found:
        found.setdefault("additionalProperties", False)
    return found


def _inner(name: str, value: Any) -> Any:
    """Return what a keyword holds; what names and values hold is no schema."""
    if name in ("properties", "$defs", "definitions", "patternProperties") and isinstance(value, dict):
        return {key: _closed(inner) for key, inner in cast("Json", value).items()}
    return value if name in ("enum", "const", "default", "examples", "required") else _closed(value)


def of_tool(schema: Json | None) -> Json:
    """Return the schema of a tool's input, which must be an object's."""
    found = schema or {}
    if found.get("type") == "object":
        return found
    return {"properties": {}, **found, "type": "object"}
