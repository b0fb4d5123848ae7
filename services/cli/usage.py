"""`localrouter usage`: what was used and what it cost."""

from typing import Annotated, Any, Final

import typer

from services.cli.client import Admin
from services.cli.output import Json, print_json, print_table, say, usd

From = Annotated[str | None, typer.Option("--from", help="From this RFC 3339 time or date (UTC) on.")]
To = Annotated[str | None, typer.Option("--to", help="Up to this time, or to the end of this date.")]
Key = Annotated[str | None, typer.Option(help="Only of this key, by name or id.")]
Provider = Annotated[str | None, typer.Option(help="Only what was tried at this provider.")]
Model = Annotated[str | None, typer.Option(help="Only what was tried at this PROVIDER/MODEL.")]

_TOKENS: Final = ("input", "cached", "cache_write", "output", "reasoning", "total")


def usage(
    start: From = None,
    end: To = None,
    key: Key = None,
    provider: Provider = None,
    model: Model = None,
    group_by: Annotated[
        str | None, typer.Option(help="By key, provider, model, router, status, day or hour; several with commas.")
    ] = None,
    json: Json = False,
) -> None:
    """Show requests, tokens and cost: by model, or as --group-by says, with their totals."""
    asked = {"from": start, "to": end, "key": key, "provider": provider, "model": model}
    groups = group_by if group_by is not None or json else "model"
    answer = Admin().pages("usage", **asked, group_by=groups)
    if json:
        print_json(answer.text)
        return
    names = [name.strip() for name in (groups or "").split(",") if name.strip()]
    columns = [*names, ">requests", ">input", ">cached", ">cache write", ">output", ">reasoning", ">total", ">cost"]
    shadow = answer.data["totals"]["shadow_cost_usd"] != "0"
    if shadow:
        columns.append(">shadow cost")
    rows = ([*(_group(item, name) for name in names), *_sums(item, shadow)] for item in answer.data["items"])
    totals = [*(["total"] + [""] * len(names))[: len(names)], *_sums(answer.data["totals"], shadow)]
    print_table(columns, rows, totals=totals)
    if shadow:
        say("Shadow cost: what the answers of subscriptions would cost at API prices.", style="dim")


def _group(item: dict[str, Any], name: str) -> Any:
    return (item.get("key_name") or item.get("key")) if name == "key" else item.get(name)


def _sums(item: dict[str, Any], shadow: bool) -> list[Any]:
    tokens: dict[str, int] = item["tokens"]
    cost = usd(item["cost_usd"])
    unpriced = item.get("unpriced_requests")
    note = f" + {unpriced} unpriced" if unpriced and item["cost_usd"] is not None else ""
    shown = [item["requests"], *(tokens.get(name, 0) for name in _TOKENS), cost + note]
    return [*shown, usd(item["shadow_cost_usd"])] if shadow else shown
