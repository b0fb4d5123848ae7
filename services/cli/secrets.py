"""`localrouter secrets`: the keys behind the keys, and where the first of them is kept."""

import os
from typing import Annotated, Literal

import typer

from services.cli.client import Admin
from services.cli.errors import CommandFailed, Exit
from services.cli.output import Json, counted, plain, print_json, say

app = typer.Typer(help="The master key and the pepper: rotate them, or move the master key.", no_args_is_help=True)


@app.command("rotate")
def rotate(what: Annotated[Literal["master", "pepper"], typer.Argument(help="Which one.")], json: Json = False) -> None:
    """Replace the master key, or have new keys digested under another pepper, while everything runs."""
    answer = Admin().post("secrets/rotate", {"what": what})
    if json:
        print_json(answer.text)
    elif what == "pepper":
        say("There is a new pepper: keys made from here on are under it, the old one goes with the last of its keys.")
    else:
        wrapped = counted(answer.data["rewrapped"], "secret")
        say(f"There is a new master key, {plain(answer.data['id'])}: {wrapped} wrapped anew. Keep a copy of it.")


@app.command("to-keyring")
def to_keyring(json: Json = False) -> None:
    """Move the master key of this machine's data folder from its file into the operating system's keyring."""
    from shared.kernel.errors import LocalRouterError
    from shared.runtime.master_key import move_to_keyring
    from shared.runtime.settings_file import home

    folder = home(os.environ)
    try:
        move_to_keyring(folder)
    except LocalRouterError as error:
        raise CommandFailed(Exit.FAILED, str(error)) from error
    if json:
        print_json({"master_key": "keyring", "home": str(folder)})
    else:
        say("The master key is in the keyring.")
