"""`localrouter reprice`: what was used, at the prices of another time."""

from typing import Annotated, Any

import typer

from services.cli.client import Admin
from services.cli.output import Json, counted, print_json, print_table, say, usd
from services.cli.usage import From, Key, Model, Provider, To


def reprice(
    as_of: Annotated[
        str | None, typer.Option(help="A version such as genai-prices@3, or an RFC 3339 time; none: now.")
    ] = None,
    start: From = None,
    end: To = None,
    key: Key = None,
    provider: Provider = None,
    model: Model = None,
    json: Json = False,
) -> None:
    """Price recorded requests again, as of a version of the price book or a time; nothing is changed."""
    asked = {"as_of": as_of, "from": start, "to": end, "key": key, "provider": provider, "model": model}
    answer = Admin().post("reprice", {name: value for name, value in asked.items() if value is not None})
    if json:
        print_json(answer.text)
        return
    found: dict[str, Any] = answer.data
    columns = ("model", ">attempts", ">recorded", ">repriced")
    rows = ([item["model"], item["attempts"], *_costs(item)] for item in found["models"])
    print_table(columns, rows, totals=["total", "", *_costs(found)])
    versions = ", ".join(source["version"] for source in found["sources"]) or "no prices"
    say(f"{counted(found['requests'], 'request')}, as of {versions}.")


def _costs(item: dict[str, Any]) -> list[str]:
    return [_cost(item["recorded"]), _cost(item["repriced"])]


def _cost(bill: dict[str, Any]) -> str:
    note = f" + {bill['unpriced']} unpriced" if bill["unpriced"] and bill["cost_usd"] is not None else ""
    return usd(bill["cost_usd"]) + note
