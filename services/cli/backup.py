"""`localrouter backup` and `localrouter restore`."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer

from services.cli.client import Admin
from services.cli.errors import CommandFailed, Exit
from services.cli.output import Json, print_json, say
from shared.kernel.errors import SettingsInvalid

_STANDARD: Final = Path("-")


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it; it must not be there yet. -: standard output.")],
    json: Json = False,
) -> None:
    """Write a backup of the running LocalRouter: configuration, usage and sealed secrets, never the master key."""
    if file == _STANDARD:
        size = _to_standard_output()
        sys.stderr.write(_told("-", size) + "\n")
        return
    size = _to_file(file)
    if json:
        print_json(f'{{"bytes":{size}}}')
    else:
        say(_told(file, size))


def _told(file: object, size: int) -> str:
    return f"{file}: {size} bytes. A restore needs the master key, which is not in it."


def _to_standard_output() -> int:
    if sys.stdout.isatty():
        raise CommandFailed(Exit.REFUSED, "a backup is no text for a terminal: name a file, or send it into one")
    size = Admin().download("POST", "backup", sys.stdout.buffer)
    sys.stdout.buffer.flush()
    return size


def _to_file(file: Path) -> int:
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
    return size


def restore(
    file: Annotated[Path, typer.Argument(help="What `localrouter backup` wrote.")],
    enable_keys: Annotated[bool, typer.Option("--enable-keys", help="Leave keys as they were.")] = False,
) -> None:
    """Make an empty data folder, or the empty log at nats.url, from a backup, with every key disabled.

    LocalRouter must not run.
    """
    options = ["--enable-keys"] if enable_keys else []
    command = [sys.executable, "-m", *_restorer(), str(file), *options]
    raise typer.Exit(subprocess.call(command))  # noqa: S603  our own interpreter and module


def _restorer() -> list[str]:
    """Return the module of this installation that restores, and its first argument."""
    from shared.runtime.settings_file import home, read_settings

    if find_spec("services.gateway") is None:
        raise CommandFailed(
            Exit.REFUSED,
            "the command line alone cannot restore; with Compose: docker compose run --rm -T restore < FILE",
        )
    try:
        apart = read_settings(home(os.environ), os.environ).nats.url is not None
    except SettingsInvalid as error:
        raise CommandFailed(Exit.FAILED, f"the settings hold mistakes:\n{error}") from error
    return ["services.gateway", "restore"] if apart else ["services.embedded.restore"]
