"""`localrouter simulate`: recorded traffic through another configuration of its router."""

from typing import Annotated, Any

import typer

from services.cli.client import Admin
from services.cli.output import Json, print_facts, print_json, print_table, say, usd
from services.cli.routers import read_router


def simulate(
    router: Annotated[str, typer.Option(help="Whose traffic: a router's slug or id.")],
    file: Annotated[
        str | None, typer.Option("--file", "-f", help="The other configuration, YAML or JSON; - for stdin.")
    ] = None,
    last: Annotated[str, typer.Option(help="How far back: 90m, 24h, 7d.")] = "7d",
    json: Json = False,
) -> None:
    """Show where recorded traffic would have gone under another configuration, and what it would have cost."""
    body: dict[str, Any] = {"router": router, "last": last}
    if file is not None:
        body["configuration"] = read_router(file)[0]
    answer = Admin().post("simulate", body)
    if json:
        print_json(answer.text)
        return
    found: dict[str, Any] = answer.data
    print_facts([("router", found["router"]), ("from", found["from"]), ("to", found["to"])])
    sides = (("as it is", found["before"]), ("as it would be", found["after"]))
    columns = ("", ">cost", ">unpriced", ">refused", ">p50 ms", ">p95 ms")
    print_table(columns, (_side(name, side) for name, side in sides))
    say(f"{found['moved']} of {found['requests']} requests would have gone elsewhere first.")
    if found["moves"]:
        rows = ([_who(move["from"]), _who(move["to"]), move["requests"]] for move in found["moves"])
        print_table(("from", "to", ">requests"), rows)
    if found["keys"]:
        columns = ("key", ">requests", ">moved", ">cost", ">would cost")
        print_table(columns, (_key(item) for item in found["keys"]))
    confidence: dict[str, Any] = found["confidence"]
    say(f"Tokens: {confidence['tokens']}.", style="dim")
    say(f"Latency: {confidence['latency']}.", style="dim")
    by_answers, by_mean = confidence["moved_with_measured_distribution"], confidence["moved_with_measured_mean"]
    counts = f"{by_answers} by its answers, {by_mean} by its mean, {confidence['moved_without']} unknown"
    say(f"Of the moved requests {counts}.", style="dim")


def _side(name: str, side: dict[str, Any]) -> list[Any]:
    latency: dict[str, float] = side["latency_ms"] or {}
    facts = [name, usd(side["cost_usd"]), side["unpriced_requests"], side["refused_requests"]]
    return [*facts, latency.get("p50"), latency.get("p95")]


def _key(item: dict[str, Any]) -> list[Any]:
    costs = [usd(item[side]["cost_usd"]) for side in ("before", "after")]
    return [item["key"], item["requests"], item["moved"], *costs]


def _who(model: str | None) -> str:
    return model or "nobody"
