"""`localrouter models`: what can be asked for, and what it costs."""

from typing import Annotated, Any, Final

import typer

from services.cli.client import Admin, segment
from services.cli.errors import CommandFailed, Exit
from services.cli.output import Json, counted, plain, print_json, print_table, say

app = typer.Typer(help="Models: what can be asked for, and what it costs.", no_args_is_help=True)
_ALIASES: Final = "models/aliases"
_PRICES: Final = "models/prices"


@app.command("list")
def list_models(
    provider: Annotated[str | None, typer.Option(help="Only of this provider.")] = None,
    capability: Annotated[
        list[str] | None, typer.Option(help="Only with this, such as tools or vision; repeatable.")
    ] = None,
    min_parameters: Annotated[float | None, typer.Option(help="At least so many billions of parameters.")] = None,
    max_parameters: Annotated[float | None, typer.Option(help="At most so many billions of parameters.")] = None,
    context: Annotated[int | None, typer.Option(help="A context window of at least so many tokens.")] = None,
    max_price: Annotated[
        str | None, typer.Option(help="Neither input nor output above so many USD per million tokens.")
    ] = None,
    search: Annotated[str | None, typer.Option(help="Only whose name holds these words.")] = None,
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
        max_price=max_price,
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


@app.command("alias")
def alias(
    name: Annotated[str | None, typer.Argument(help="The name; none: list them.")] = None,
    model: Annotated[str | None, typer.Argument(help="PROVIDER/MODEL that it leads to.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the name away.")] = False,
    json: Json = False,
) -> None:
    """Give a model a name, take it away, or list the names."""
    if (remove and name is None) or (name is not None and remove == (model is not None)):
        raise CommandFailed(Exit.USAGE, "give NAME PROVIDER/MODEL, or NAME --remove, or nothing to list the names")
    admin = Admin()
    if name is None:
        answer = admin.pages(_ALIASES)
    elif remove:
        answer = admin.delete(f"{_ALIASES}/{segment(name)}")
    else:
        answer = admin.send("PUT", f"{_ALIASES}/{segment(name)}", {"model": model})
    if json:
        print_json(answer.text or "{}")
    elif name is None:
        print_table(("name", "model"), ([item["name"], item["model"]] for item in answer.data["items"]))
    else:
        say(f"{name} leads nowhere any more." if remove else f"{name} leads to {model}.")
        if not remove and not answer.data["listed"]:
            say(f"The catalog holds no {model} now: until it does, {name} leads nowhere.", style="yellow")


@app.command("price")
def price(
    model: Annotated[str | None, typer.Argument(help="PROVIDER/MODEL; none: where prices are from.")] = None,
    input_: Annotated[str | None, typer.Option("--input", help="USD per million input tokens.")] = None,
    output: Annotated[str | None, typer.Option(help="USD per million output tokens.")] = None,
    cached: Annotated[str | None, typer.Option(help="USD per million tokens read from the cache.")] = None,
    cache_write: Annotated[str | None, typer.Option(help="USD per million tokens written to the cache.")] = None,
    cache_write_1h: Annotated[str | None, typer.Option(help="The same, kept for an hour.")] = None,
    audio_input: Annotated[str | None, typer.Option(help="USD per million tokens heard.")] = None,
    audio_output: Annotated[str | None, typer.Option(help="USD per million tokens spoken.")] = None,
    request: Annotated[str | None, typer.Option(help="USD per request.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take back what was set.")] = False,
    json: Json = False,
) -> None:
    """Set what a model costs, take it back, or show where prices are from."""
    told = {
        "input": input_,
        "output": output,
        "cached": cached,
        "cache_write": cache_write,
        "cache_write_1h": cache_write_1h,
        "audio_input": audio_input,
        "audio_output": audio_output,
        "request": request,
    }
    given = {name: amount for name, amount in told.items() if amount is not None}
    if (given or remove) and model is None:
        raise CommandFailed(Exit.USAGE, "name the model as PROVIDER/MODEL")
    if given and (remove or not given.keys() >= {"input", "output"}):
        raise CommandFailed(Exit.USAGE, "a price is --input and --output at least, and is set or removed")
    admin = Admin()
    if remove:
        answer = admin.delete(_PRICES, model=model)
    elif given:
        answer = admin.send("PUT", _PRICES, {"model": model, **given})
    else:
        answer = admin.get(_PRICES)
    if json:
        print_json(answer.text)
        return
    own: list[dict[str, Any]] = answer.data["overrides"]
    if model is None:
        columns = ("source", "version", "since", ">models", "from")
        names = ("source", "version", "effective_at", "models", "origin")
        print_table(columns, ([source[name] for name in names] for source in answer.data["sources"]))
    shown = [item for item in own if model in (None, item["model"])]
    if shown:
        print_table(("set by hand", "version", ">in $/M", ">out $/M"), (_own(item) for item in shown))
    elif model is not None:
        say(f"No price of {model} is set by hand.")


def _own(item: dict[str, Any]) -> list[Any]:
    return [item["model"], item["version"], item["prices"]["input"], item["prices"]["output"]]


def _row(model: dict[str, Any]) -> list[Any]:
    prices: dict[str, Any] = model.get("prices") or {}
    size = model.get("parameters_b")
    facts = [model["id"], model.get("context_window"), None if size is None else f"{size:g}B"]
    facts += [prices.get("input"), prices.get("output")]
    health = f"{model.get('health')} (stale)" if model.get("stale") else model.get("health")
    return [*facts, plain(model.get("capabilities") or None), health]
