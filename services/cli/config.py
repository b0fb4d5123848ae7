"""`localrouter config`: the settings file of this machine. The schema is imported by the command that needs it."""

import os
from collections.abc import Iterator
from typing import Any

import typer

from services.cli.errors import Exit
from services.cli.output import Json, harmless, print_json, say
from shared.kernel.errors import SettingsInvalid

app = typer.Typer(help="The settings file of this machine.", no_args_is_help=True)


@app.command("check")
def check(json: Json = False) -> None:
    """Read the settings and the environment and name every mistake; exit 1 if there is one."""
    from shared.runtime.settings_file import home, read_settings, settings_path

    folder = home(os.environ)
    path = settings_path(folder, os.environ)
    problems: list[str] = []
    try:
        read_settings(folder, os.environ)
    except SettingsInvalid as error:
        problems = error.problems
    if json:
        print_json({"ok": not problems, "path": str(path), "problems": problems})
    elif not problems:
        say(f"{path} is right." if path.exists() else f"{path} is not there: the defaults are in force.")
    for problem in [] if json else problems:
        say(problem)
    if problems:
        raise typer.Exit(Exit.FAILED)


@app.command("show")
def show(json: Json = False) -> None:
    """Show the settings in force, the environment over the file; secrets are masked."""
    from shared.runtime.settings_file import home, read_settings

    settings = read_settings(home(os.environ), os.environ).model_dump(mode="json")
    if json:
        print_json(settings)
    else:
        say("\n".join(_lines(settings)))


@app.command("path")
def path(json: Json = False) -> None:
    """Print where the settings file is."""
    from shared.runtime.settings_file import home, settings_path

    folder = home(os.environ)
    found = settings_path(folder, os.environ)
    if json:
        print_json({"path": str(found), "exists": found.exists(), "home": str(folder)})
    else:
        typer.echo(harmless(str(found)))


@app.command("schema")
def schema(json: Json = False) -> None:  # JSON is the only form it has
    """Print the JSON Schema of the settings file."""
    from shared.runtime.settings_file import settings_schema

    print_json(settings_schema())


def _lines(settings: dict[str, Any]) -> Iterator[str]:
    from shared.runtime.settings_schema import yaml_value

    for name, value in settings.items():
        if isinstance(value, dict):
            yield f"{name}:"
            yield from (f"  {line}" for line in _lines(value))  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield f"{name}: {yaml_value(value)}"
