"""`localrouter models`: what can be asked for, and what it costs."""

from typing import Annotated, Any

import typer

from services.cli.client import Admin
from services.cli.errors import not_there_yet
from services.cli.output import Json, counted, plain, print_json, print_table, say

app = typer.Typer(help="Models: what can be asked for, and what it costs.", no_args_is_help=True)


@app.command("list")
def list_models(
    provider: Annotated[str | None, typer.Option(help="Only of this provider.")] = None,
    capability: Annotated[str | None, typer.Option(help="Only with this, such as tools or vision.")] = None,
    min_parameters: Annotated[float | None, typer.Option(help="At least so many billions of parameters.")] = None,
    max_parameters: Annotated[float | None, typer.Option(help="At most so many billions of parameters.")] = None,
    context: Annotated[int | None, typer.Option(help="A context window of at least so many tokens.")] = None,
    search: Annotated[str | None, typer.Option(help="Only whose name holds this.")] = None,
    json: Json = False,
) -> None:
    """List the models."""
    answer = Admin().pages(
        "models",
        provider=provider,
        capability=capability,
        min_parameters_b=min_parameters,
        max_parameters_b=max_parameters,
        min_context=context,
        q=search,
    )
    if json:
        print_json(answer.text)
        return
    columns = ("model", ">context", ">size", ">in $/M", ">out $/M", "capabilities", "health")
    print_table(columns, (_row(model) for model in answer.data["items"]))


@app.command("refresh")
def refresh_models(json: Json = False) -> None:
    """Ask every provider for its models now."""
    answer = Admin().post("models/refresh")
    if json:
        print_json(answer.text)
        return
    say(f"{counted(answer.data['models'], 'model')} at {counted(answer.data['providers'], 'provider')}.")


@app.command("alias", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def alias() -> None:
    """Not there yet."""
    raise not_there_yet("`localrouter models alias`")


@app.command("price", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def price() -> None:
    """Not there yet."""
    raise not_there_yet("`localrouter models price`")


def _row(model: dict[str, Any]) -> list[Any]:
    prices: dict[str, Any] = model.get("prices") or {}
    size = model.get("parameters_b")
    facts = [model["id"], model.get("context_window"), None if size is None else f"{size:g}B"]
    facts += [prices.get("input"), prices.get("output")]
    return [*facts, plain(model.get("capabilities") or None), model.get("health")]
