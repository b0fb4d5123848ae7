"""The commands whose names are given but which are not there yet: each says so and is refused."""

from collections.abc import Callable
from typing import Final

import typer

from services.cli.errors import not_there_yet

PANEL: Final = "Not there yet"
_ANYTHING: Final = {"allow_extra_args": True, "ignore_unknown_options": True}

COMMANDS: Final = (
    "upgrade",
    "events",
    "export",
    "plan",
    "apply",
    "history",
    "rollback",
    "limits",
    "audit",
)
GROUPS: Final = {
    "admin-tokens": ("list", "create", "revoke"),
}


def add_later(app: typer.Typer) -> None:
    """Add them all to ``app``."""
    for name in COMMANDS:
        _add(app, name, f"localrouter {name}", PANEL)
    for group, names in GROUPS.items():
        commands = typer.Typer(help="Not there yet.", no_args_is_help=True)
        for name in names:
            _add(commands, name, f"localrouter {group} {name}", None)
        app.add_typer(commands, name=group, rich_help_panel=PANEL)


def _add(app: typer.Typer, name: str, whole: str, panel: str | None) -> None:
    app.command(name, help="Not there yet.", context_settings=_ANYTHING, rich_help_panel=panel)(_refuse(whole))


def _refuse(whole: str) -> Callable[[], None]:
    def command() -> None:
        raise not_there_yet(f"`{whole}`")

    return command
