"""Writes what is read off the code: reference pages of settings, commands, events, dialects; the admin API's OpenAPI;
Grafana's dashboards.

``python -m docs.generate`` writes them, ``--check`` names those that are stale and fails.
"""

import argparse
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
from fastapi import FastAPI

import shared.contracts
from docs.dialects import dialects_page
from grafana.build import dashboards
from services.cli.reference import pages
from shared.contracts.envelope import EventData, registered

ROOT: Final = Path(__file__).parents[1]
BY: Final = "<!-- Written by `make docs` from the code; edit that instead. -->"

# What builds each service's part of the admin API, and how many ports it is handed.
ADMIN: Final = {
    "services.gateway.api.admin": "build",
    "services.router.api.admin": "admin",
    "services.providers.api.admin": "admin",
    "services.metrics.api.admin": "admin",
}


def generated() -> Iterator[tuple[Path, str]]:
    """Yield every generated file with what it should hold."""
    yield from pages().items()
    yield ROOT / "docs" / "reference" / "events.md", events_page()
    yield ROOT / "docs" / "reference" / "dialects.md", dialects_page(BY)
    yield ROOT / "services" / "gateway" / "api" / "openapi.json", openapi_document()
    yield from dashboards()


def events_page() -> str:
    """Return the page of every event type at its newest version."""
    for module in pkgutil.iter_modules(shared.contracts.__path__):
        importlib.import_module(f"shared.contracts.{module.name}")
    lines = [
        "# Events",
        "",
        BY,
        "",
        "What the log holds, each type at its newest version. Older ones are upcast as they are read.",
    ]
    parts: dict[str, type[Any]] = {}
    for name, (version, data) in sorted(registered().items()):
        lines += ["", f"## `{name}` v{version}", *_fields(data)]
        parts |= {part.__name__: part for part in _parts(data)}
    lines += ["", "## Parts of events"]
    for name, part in sorted(parts.items()):
        lines += ["", f"### `{name}`", *_fields(part)]
    return "\n".join(lines) + "\n"


def _fields(data: type[msgspec.Struct]) -> list[str]:
    lines = ["", inspect.getdoc(data) or "", ""]
    if fields := msgspec.structs.fields(data):
        lines += ["| field | type | default |", "| --- | --- | --- |"]
        lines += [f"| `{field.encode_name}` | `{_type(field.type)}` | {_default(field)} |" for field in fields]
    return lines[:-1] if not lines[-1] else lines


def _parts(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs that a struct's fields are made of, at any depth."""
    if inspect.isclass(annotation) and issubclass(annotation, msgspec.Struct):
        for field in msgspec.structs.fields(annotation):
            yield from _parts(field.type)
        if not issubclass(annotation, EventData):
            yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


def _type(annotation: Any) -> str:
    plain = inspect.isclass(annotation) and not get_args(annotation)
    text = annotation.__name__ if plain else re.sub(r"\b[a-z_]+(\.[a-z_]+)*\.(?=\w)", "", str(annotation))
    return text.replace("|", "\\|")


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    if field.default_factory in (list, dict, set):
        return "empty"
    return (
        f"`{field.default!r}`"
        if isinstance(field.default, (str, int, float, bool, tuple, type(None)))
        else "as its type"
    )


def openapi_document() -> str:
    """Return the admin API of all services as one OpenAPI document."""
    merged: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "LocalRouter admin API",
            "version": "1",
            "description": "Every call needs the admin token; errors are RFC 9457 problem documents.",
        },
        "security": [{"adminToken": []}],
        "paths": {},
        "components": {"schemas": {}, "securitySchemes": {"adminToken": {"type": "http", "scheme": "bearer"}}},
    }
    for name, builder in ADMIN.items():
        build = getattr(importlib.import_module(name), builder)
        # The routes are described, never called: what they would call is left out.
        app: FastAPI = build(*[None] * len(inspect.signature(build).parameters))
        document = _with_own_names(app.openapi(), merged["components"]["schemas"], name.split(".")[1])
        merged["paths"] |= document["paths"]
        merged["components"]["schemas"] |= document["components"]["schemas"]
    encoded = msgspec.json.encode(merged, order="deterministic")
    return msgspec.json.format(encoded, indent=1).decode() + "\n"


def _with_own_names(document: dict[str, Any], taken: dict[str, Any], service: str) -> dict[str, Any]:
    """Return a service's part, its schemas renamed where another service means something else by the name."""
    schemas = document["components"]["schemas"]
    text = msgspec.json.encode(document).decode()
    for name in schemas:
        if name in taken and taken[name] != schemas[name]:
            for quoted in (f'"{name}":', f'"#/components/schemas/{name}"'):
                text = text.replace(quoted, quoted.replace(name, service.capitalize() + name))
    return msgspec.json.decode(text)


def main() -> None:
    """Write what is generated, or say what is stale."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.generate", description="The generated parts of the documentation"
    )
    parser.add_argument("--check", action="store_true", help="change nothing; fail and name what is stale")
    check = parser.parse_args().check
    stale = [(path, text) for path, text in generated() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        name = path.relative_to(ROOT)
        if check:
            sys.stderr.write(f"{name} is stale: make docs writes it\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            sys.stderr.write(f"wrote {name}\n")
    if check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
