"""`localrouter backup` and `localrouter restore`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli.client import Admin
from services.cli.errors import CommandFailed, Exit
from services.cli.output import Json, print_json, say


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it; it must not be there yet.")],
    json: Json = False,
) -> None:
    """Write a backup of the running LocalRouter: configuration, usage and sealed secrets, never the master key."""
    if file.exists():
        raise CommandFailed(Exit.REFUSED, f"{file} is there already")
    part = file.with_name(f"{file.name}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:  # noqa: PTH123  nobody else may read it
            size = Admin().download("POST", "backup", target)
            os.fsync(target.fileno())
        part.rename(file)
    except OSError as error:
        raise CommandFailed(Exit.FAILED, f"{file} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    if json:
        print_json(f'{{"bytes":{size}}}')
    else:
        say(f"{file}: {size} bytes. A restore needs the master key, which is not in it.")


def restore(
    file: Annotated[Path, typer.Argument(help="What `localrouter backup` wrote.")],
    enable_keys: Annotated[bool, typer.Option("--enable-keys", help="Leave keys as they were.")] = False,
) -> None:
    """Make an empty data folder from a backup, with every key disabled. LocalRouter must not run."""
    command = [sys.executable, "-m", "services.embedded.restore", str(file)]
    command += ["--enable-keys"] if enable_keys else []
    raise typer.Exit(subprocess.call(command))  # noqa: S603  our own interpreter and module
