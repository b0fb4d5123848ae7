"""`localrouter routers`: in which order models are tried."""

import sys
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
import typer

from services.cli.client import Admin, segment
from services.cli.errors import CommandFailed, Exit
from services.cli.output import Json, Yes, confirm, plain, print_facts, print_json, print_table, say

app = typer.Typer(help="Routers: in which order models are tried.", no_args_is_help=True)

Router = Annotated[str, typer.Argument(help="A router's slug or id.")]
File = Annotated[str, typer.Option("--file", "-f", help="YAML or JSON, - for stdin; no more than name and order.")]

_READ_ONLY = ("id", "version", "default")


@app.command("list")
def list_routers(json: Json = False) -> None:
    """List the routers."""
    answer = Admin().pages("routers")
    if json:
        print_json(answer.text)
        return
    rows = ([item["slug"], item["name"], order_text(item["order"]), item["id"]] for item in answer.data["items"])
    print_table(("slug", "name", "order", "id"), rows)


@app.command("show")
def show_router(router: Router, json: Json = False) -> None:
    """Show a router, and what of its `fallback` is not the default; with --json all, in the form that `update -f`
    takes."""
    answer = Admin().get(f"routers/{segment(router)}")
    _show(answer.text, answer.data, json)


@app.command("create")
def create_router(file: File, json: Json = False) -> None:
    """Create a router from a file."""
    body, _ = read_router(file)
    answer = Admin().post("routers", body)
    _show(answer.text, answer.data, json)


@app.command("update")
def update_router(router: Router, file: File, json: Json = False) -> None:
    """Replace a router by a file; refused if the file's `version` is no longer the router's."""
    body, version = read_router(file)
    answer = Admin().send("PUT", f"routers/{segment(router)}", body, version=version)
    _show(answer.text, answer.data, json)


@app.command("restore-default")
def restore_default(router: Router, yes: Yes = False, json: Json = False) -> None:
    """Make a default router as it was at the first start."""
    confirm(f"Replace the router {plain(router)} by its default?", yes=yes)
    answer = Admin().post(f"routers/{segment(router)}/restore-default", {})
    _show(answer.text, answer.data, json)


@app.command("preview")
def preview_router(
    router: Annotated[str | None, typer.Argument(help="A router's slug or id.")] = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="A router that is not saved; - for stdin.")] = None,
    json: Json = False,
) -> None:
    """Show the plan a router makes now: which models in which order, why, and what is left out."""
    if (router is None) == (file is None):
        raise typer.BadParameter("name a router or give a file with -f")
    admin = Admin()
    if file is not None:
        answer = admin.post("routers/preview", read_router(file)[0])
    else:
        answer = admin.get(f"routers/{segment(router or '')}/preview")
    if json:
        print_json(answer.text)
        return
    plan: dict[str, Any] = answer.data
    columns = (">", "model", ">size", ">in $/M", ">out $/M", "why")
    print_table(columns, (_candidate(item) for item in plan["candidates"]))
    for item in plan.get("left_out", []):
        say(f"left out: {item['count']} ({item['cause']}): {plain(item['examples'])}", style="dim")


@app.command("delete")
def delete_router(router: Router, yes: Yes = False, json: Json = False) -> None:
    """Delete a router; refused while a key uses it."""
    confirm(f"Delete the router {plain(router)} for good?", yes=yes)
    Admin().delete(f"routers/{segment(router)}")
    if json:
        print_json({"router": router, "deleted": True})
    else:
        say(f"{router} is deleted.")


def order_text(order: dict[str, Any]) -> str:
    """Return an order in words."""
    if order["mode"] == "manual":
        return "manual: " + ", ".join(order["models"])
    return ", then ".join(str(item["name"]) for item in order["strategies"])


def read_router(file: str) -> tuple[dict[str, Any], int | None]:
    """Return a router's document and the version it was read at; raises CommandFailed."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise CommandFailed(Exit.FAILED, f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandFailed(Exit.FAILED, f"{file} is not UTF-8") from error
    found = _parse(file, text)
    if not isinstance(found, dict):
        raise CommandFailed(Exit.FAILED, f"{file} holds no router: names with values, such as name: and order:")
    document = cast("dict[str, Any]", found)
    version = document.get("version")
    body = {name: value for name, value in document.items() if name not in _READ_ONLY}
    return body, version if isinstance(version, int) else None


def _parse(file: str, text: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise CommandFailed(Exit.FAILED, f"{file} is not JSON: {error}") from error
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as error:
        raise CommandFailed(Exit.FAILED, f"{file} is not YAML: {' '.join(str(error).split())}") from error


def _candidate(item: dict[str, Any]) -> list[Any]:
    prices: dict[str, Any] = item.get("prices") or {}
    why = "; ".join(str(reason["because"]) for reason in item.get("reasons", []))
    size = item.get("parameters_b")
    said = None if size is None else f"{size:g}B"
    return [item["place"], item["model"], said, prices.get("input"), prices.get("output"), why]


def _show(text: str, router: dict[str, Any], json: bool) -> None:
    if json:
        print_json(text)
        return
    from shared.contracts.config import Fallback

    models: dict[str, Any] = router.get("models") or {}
    facts = [("slug", router["slug"]), ("name", router["name"]), ("id", router["id"])]
    facts += [("order", order_text(router["order"])), ("models", models.get("include"))]
    facts += [("without", models.get("exclude")), ("only", _filters_text(router.get("filters") or {}))]
    facts += [("affinity", "yes" if router.get("affinity") else None), ("on_cut", router.get("on_cut"))]
    fallback: dict[str, Any] = router.get("fallback") or {}
    own = [f"{name} {value}" for name, value in fallback.items() if value != getattr(Fallback(), name, None)]
    facts += [("fallback", ", ".join(own))]
    print_facts([*facts, ("version", router.get("version"))])


def _filters_text(filters: dict[str, Any]) -> str:
    """Return what a model must be like in words."""
    said: list[str] = []
    for name, wanted in filters.items():
        if isinstance(wanted, dict):
            ends = cast("dict[str, Any]", wanted)
            words = (("min", "from"), ("max", "to"))
            bounds = " ".join(f"{word} {plain(ends[end])}" for end, word in words if ends.get(end) is not None)
            said += [f"{name} {bounds}"] if bounds else []
        elif wanted:
            said.append(f"{name} {plain(wanted)}")
    return "; ".join(said)
