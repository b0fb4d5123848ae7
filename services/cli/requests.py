"""`localrouter requests`: where each request went and why."""

from typing import Annotated, Any

import typer

from services.cli.client import Admin, segment
from services.cli.output import Json, print_facts, print_json, print_table, usd
from services.cli.usage import From, Key, Model, Provider, To

app = typer.Typer(help="Requests: where each went, how it ended, what it cost.", no_args_is_help=True)


@app.command("list")
def list_requests(
    start: From = None,
    end: To = None,
    key: Key = None,
    provider: Provider = None,
    model: Model = None,
    router: Annotated[str | None, typer.Option(help="Only through this router.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only succeeded, failed, cancelled, interrupted or refused ones.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="`next_cursor` of the page before.")] = None,
    json: Json = False,
) -> None:
    """List requests, newest first."""
    asked = {"from": start, "to": end, "key": key, "provider": provider, "model": model, "router": router}
    answer = Admin().get("requests", **asked, status=status, limit=limit, cursor=cursor)
    if json:
        print_json(answer.text)
        return
    columns = ("time", "status", "key", "asked", "model", ">in", ">out", ">cost", ">ms", "id")
    print_table(columns, (_row(item) for item in answer.data["items"]))


@app.command("show")
def show_request(request: Annotated[str, typer.Argument(help="A request's id.")], json: Json = False) -> None:
    """Show a request with every attempt."""
    answer = Admin().get(f"requests/{segment(request)}")
    if json:
        print_json(answer.text)
        return
    record: dict[str, Any] = answer.data
    names = ("id", "time", "status", "http_status", "error_code", "key_name", "router", "requested_model", "model")
    facts = [(name.replace("_", " "), record.get(name)) for name in names]
    facts += [("tokens", tokens_text(record["tokens"])), ("cost", usd(record["cost_usd"]))]
    if record["shadow_cost_usd"] is not None:
        facts.append(("at API prices", usd(record["shadow_cost_usd"])))
    facts += [(name.replace("_", " "), record.get(name)) for name in ("duration_ms", "ttft_ms", "overhead_ms", "tags")]
    print_facts(facts)
    if record.get("attempts"):
        columns = ("attempt at", "outcome", ">status", "error", ">ms", ">in", ">out", ">cost")
        print_table(columns, (_attempt(item) for item in record["attempts"]))
    if record.get("excluded"):
        rows = ([item["model"], item["cause"], item.get("value")] for item in record["excluded"])
        print_table(("passed over", "because", "value"), rows)


def tokens_text(tokens: dict[str, Any]) -> str:
    """Return tokens in words: "12 in, 34 out"."""
    words = [f"{tokens['input']} in"]
    words += [f"{tokens[name]} {name.replace('_', ' ')}" for name in ("cached", "cache_write") if tokens.get(name)]
    words.append(f"{tokens['output']} out")
    if tokens.get("reasoning"):
        words.append(f"{tokens['reasoning']} of them reasoning")
    return ", ".join(words) + (" (estimated)" if tokens.get("source") == "estimated" else "")


def _row(record: dict[str, Any]) -> list[Any]:
    tokens: dict[str, Any] = record["tokens"]
    status = record["status"] if not record.get("error_code") else f"{record['status']} ({record['error_code']})"
    facts = [record["time"], status, record.get("key_name"), record.get("requested_model"), record.get("model")]
    facts += [tokens["input"] + tokens["cached"] + tokens["cache_write"], tokens["output"], usd(record["cost_usd"])]
    return [*facts, round(record["duration_ms"]), record["id"]]


def _attempt(item: dict[str, Any]) -> list[Any]:
    tokens: dict[str, Any] = item["tokens"]
    facts = [item["model"], item["outcome"], item.get("http_status"), item.get("error_code")]
    inputs = tokens["input"] + tokens["cached"] + tokens["cache_write"]
    return [*facts, round(item["duration_ms"]), inputs, tokens["output"], usd(item["cost_usd"])]
