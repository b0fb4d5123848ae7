"""`localrouter explain`: why a request went where it went."""

from typing import Annotated, Any

import typer

from services.cli.client import Admin, segment
from services.cli.output import Json, plain, print_facts, print_json, print_table, say, usd


def explain(
    request: Annotated[str, typer.Argument(help="A request's id, or the x-request-id that its caller sent.")],
    json: Json = False,
) -> None:
    """Show why a request went where it went: every candidate with place, reason and outcome."""
    answer = Admin().get(f"requests/{segment(request)}")
    if json:
        print_json(answer.text)
        return
    record: dict[str, Any] = answer.data
    needs: dict[str, Any] = record["needs"]
    print_facts(
        [
            ("request", record["id"]),
            ("time", record["time"]),
            ("asked", record["requested_model"]),
            ("needs", [*needs["capabilities"], f"about {needs['input_tokens']} tokens in"]),
            ("answered by", record["model"]),
            ("status", record["status"]),
            ("cost", usd(record["cost_usd"])),
        ]
    )
    found: dict[str, Any] | None = record["explanation"]
    if found is None:
        if record["plan_hash"] is None:
            say("It was refused before a model was chosen.")
        else:
            say("No router decided: the request, or its key, named the model.")
        return
    print_table((">", ">turn", "model", "why", "outcome"), (_candidate(item) for item in found["candidates"]))
    for item in found["left_out"]:
        say(f"left out: {item['count']} ({item['cause']}): {plain(item['examples'])}", style="dim")
    inputs = ", ".join(f"{name} {position}" for name, position in {**found["plan_inputs"], **record["inputs"]}.items())
    say(f"router {found['router']}, plan {found['plan_hash']}, made at {inputs}", style="dim")
    if found["again"] == "same":
        say("The log gives the same choice again.", style="dim")
    else:
        say("The log gives another choice: something decided that no stream holds.", style="yellow")


def _candidate(item: dict[str, Any]) -> list[Any]:
    why = "; ".join(str(reason["because"]) for reason in item["reasons"])
    excluded: dict[str, Any] | None = item["excluded"]
    outcome = ", ".join(item["outcomes"])
    if excluded is not None:
        outcome = f"passed over: {excluded['cause']} {excluded['value'] or ''}".strip()
    return [item["place"], item["order"], item["model"], why, outcome]
