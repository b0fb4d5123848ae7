"""`localrouter rebuild`: what can be made again from the log, made again."""

import time
from typing import Annotated, Any, Final, Literal

import typer

from services.cli.client import Admin
from services.cli.errors import CommandFailed, Exit
from services.cli.output import Json, counted, print_json, say

_LOOK_S: Final = 0.5


def rebuild(
    what: Annotated[Literal["ledger"], typer.Argument(help="What to make again.")] = "ledger",
    wait: Annotated[bool, typer.Option(help="Wait until it is done.")] = True,
    json: Json = False,
) -> None:
    """Make the ledger again from the log, beside the one in use, and let it take that one's place."""
    admin = Admin()
    answer = admin.post("rebuild", {"what": what})
    while wait and answer.data["state"] == "running":
        time.sleep(_LOOK_S)
        answer = admin.get("rebuild")
    found: dict[str, Any] = answer.data
    if json:
        print_json(answer.text)
    elif found["state"] == "done":
        say(f"The {what} was rebuilt: {counted(found['records'], 'request')} in {found['took_s']:.1f} s.")
    elif found["state"] == "running":
        say(f"The {what} is being rebuilt; `localrouter rebuild` waits for it.")
    if found["state"] == "failed":
        raise CommandFailed(Exit.FAILED, f"the {what} was not rebuilt: {found['error']}")
