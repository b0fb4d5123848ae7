"""`localrouter up`: this process becomes the gateway."""

import os
import subprocess
import sys
from typing import Annotated

import typer

from services.cli.errors import not_there_yet
from services.cli.output import Json


def up(
    workers: Annotated[int, typer.Option(min=1, help="More than 1: not there yet.")] = 1,
    no_local_model: Annotated[bool, typer.Option("--no-local-model", help="Without the built-in model.")] = False,
    json: Json = False,
) -> None:
    """Start everything in one process: event log, gateway, router, providers and metrics. Ends with Ctrl-C."""
    if workers > 1:
        raise not_there_yet("`--workers` above 1")
    command = [sys.executable, "-m", "services.embedded"]
    command += ["--no-local-model"] if no_local_model else []
    command += ["--json"] if json else []
    sys.stdout.flush()
    if sys.platform == "win32":  # there, execv returns to the shell while the new process goes on
        raise typer.Exit(subprocess.call(command))  # noqa: S603  our own interpreter and module
    os.execv(sys.executable, command)  # noqa: S606  a shell has no part in it
