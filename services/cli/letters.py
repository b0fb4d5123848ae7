"""`localrouter dead-letters`: what the ledger could not take of the usage log, and a further try for it."""

from typing import Annotated, Any

import typer

from services.cli.client import Admin
from services.cli.output import Json, counted, print_json, print_table, say

app = typer.Typer(
    help="Usage messages that the ledger could not take: list them, try them again.", no_args_is_help=True
)


@app.command("list")
def waiting(json: Json = False) -> None:
    """List the messages that wait, with the reason of each."""
    answer = Admin().pages("dead-letters")
    if json:
        print_json(answer.text)
        return
    rows = ([item["id"], item["sequence"], item["size"], item["reason"]] for item in answer.data["items"])
    print_table((">id", ">message", ">bytes", "reason"), rows)


@app.command("replay")
def replay(
    letter: Annotated[int, typer.Argument(metavar="ID", help="Which one, as `list` numbers it.")], json: Json = False
) -> None:
    """Give a message to the ledger again: after an update that reads it, or once the database takes it."""
    answer = Admin().post(f"dead-letters/{letter}/replay", {})
    if json:
        print_json(answer.text)
        return
    found: dict[str, Any] = answer.data
    say(f"The ledger took it: {counted(found['records'], 'request')} came by it.")
