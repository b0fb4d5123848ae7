"""`localrouter keys`: what applications call with."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from services.cli.client import Admin, segment
from services.cli.errors import not_there_yet
from services.cli.output import Json, Yes, confirm, plain, print_facts, print_json, print_table, say

app = typer.Typer(help="Keys: what applications call with, and where their requests go.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(help="A key's name or id.")]
Target = Annotated[str | None, typer.Option(help="Where its requests go: router/SLUG or PROVIDER/MODEL.")]
Allow = Annotated[list[str] | None, typer.Option(help="A model or router requests may name, with *; may be repeated.")]
Tag = Annotated[list[str] | None, typer.Option(help="NAME=VALUE, kept with every request; may be repeated.")]
Expires = Annotated[str | None, typer.Option(help="An RFC 3339 time, a date, or from now: 30m, 12h, 7d.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]
Limit = Annotated[list[str] | None, typer.Option(help="Not there yet.")]


@app.command("list")
def list_keys(json: Json = False) -> None:
    """List the keys."""
    answer = Admin().pages("keys")
    if json:
        print_json(answer.text)
        return
    columns = ("name", "key", "target", "allowed", "state", "expires", "id")
    print_table(columns, ([*_row(key), key["id"]] for key in answer.data["items"]))


@app.command("create")
def create_key(
    name: Annotated[str | None, typer.Option(help="Unique; without one: my-app-N.")] = None,
    target: Target = None,
    allow: Allow = None,
    tag: Tag = None,
    expires: Expires = None,
    description: Description = None,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """Create a key and show it, this once."""
    _no_limits(limit)
    body = _body(name, target, allow, tag, expires, description)
    answer = Admin().post("keys", body)
    _show_new(answer.text, answer.data, json)


@app.command("show")
def show_key(key: Key, json: Json = False) -> None:
    """Show a key, without its value."""
    admin = Admin()
    answer = admin.get(f"keys/{_id(admin, key)}")
    _show(answer.text, answer.data, json)


@app.command("update")
def update_key(
    key: Key,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    target: Target = None,
    allow: Allow = None,
    tag: Tag = None,
    expires: Expires = None,
    description: Description = None,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """Change a key; what is not said stays. An empty --allow, --tag or --expires takes it away."""
    _no_limits(limit)
    body = _body(name, target, allow, tag, expires, description)
    if not body:
        raise typer.BadParameter("say what to change, such as --target router/minimum-cost")
    admin = Admin()
    answer = admin.patch(f"keys/{_id(admin, key)}", body)
    _show(answer.text, answer.data, json)


@app.command("rotate")
def rotate_key(
    key: Key,
    grace: Annotated[int, typer.Option(min=0, help="Seconds that the old value goes on working.")] = 0,
    json: Json = False,
) -> None:
    """Give a key a new value and show it, this once."""
    admin = Admin()
    answer = admin.post(f"keys/{_id(admin, key)}/rotate", {"grace_s": grace})
    _show_new(answer.text, answer.data, json)


@app.command("enable")
def enable_key(key: Key, json: Json = False) -> None:
    """Let a key be used again."""
    _switch(key, True, json)


@app.command("disable")
def disable_key(key: Key, json: Json = False) -> None:
    """Refuse a key until it is enabled again."""
    _switch(key, False, json)


@app.command("delete")
def delete_key(key: Key, yes: Yes = False, json: Json = False) -> None:
    """End a key for good."""
    admin = Admin()
    identity = _id(admin, key)
    confirm(f"Delete the key {plain(key)} for good?", yes=yes)
    admin.delete(f"keys/{identity}")
    if json:
        print_json({"id": identity, "deleted": True})
    else:
        say(f"{key} is deleted.")


def target_body(text: str) -> dict[str, str]:
    """Return a target as the API takes it; raises BadParameter."""
    router = text.removeprefix("router/")
    if router != text and router:
        return {"router": router}
    if "/" not in text.strip("/"):
        raise typer.BadParameter(f"a target is router/SLUG or PROVIDER/MODEL, not {text!r}", param_hint="--target")
    return {"model": text}


def expiry(text: str, now: datetime) -> str | None:
    """Return a time as the API takes it, None for an empty text; raises BadParameter."""
    if not text:
        return None
    try:
        if text[-1] in _UNITS and text[:-1].isdecimal():
            return (now + int(text[:-1]) * _UNITS[text[-1]]).isoformat(timespec="seconds")
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        allowed = "an RFC 3339 time, a date such as 2027-01-31, or 30m, 12h, 7d"
        raise typer.BadParameter(f"{text!r} is not {allowed}", param_hint="--expires") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def _body(
    name: str | None,
    target: str | None,
    allow: list[str] | None,
    tag: list[str] | None,
    expires: str | None,
    description: str | None,
) -> dict[str, Any]:
    body: dict[str, Any] = {"name": name, "description": description}
    body["target"] = None if target is None else target_body(target)
    body["allowed"] = [item for item in allow if item] if allow else None
    body["tags"] = dict(_tag(item) for item in tag if item) if tag else None
    body = {field: value for field, value in body.items() if value is not None}
    if expires is not None:
        body["expires_at"] = expiry(expires, datetime.now(UTC))
    return body


def _tag(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise typer.BadParameter(f"a tag is NAME=VALUE, not {text!r}", param_hint="--tag")
    return name, value


def _no_limits(limit: list[str] | None) -> None:
    if limit:
        raise not_there_yet("`--limit`")


def _id(admin: Admin, key: str) -> str:
    return segment(admin.find("keys", key, "name")["id"])


def _switch(key: str, enabled: bool, json: bool) -> None:
    admin = Admin()
    answer = admin.patch(f"keys/{_id(admin, key)}", {"enabled": enabled})
    _show(answer.text, answer.data, json)


def _row(key: dict[str, Any]) -> list[Any]:
    state = "enabled" if key["enabled"] else "disabled"
    return [key["name"], _masked(key), _target(key), key.get("allowed") or None, state, key.get("expires_at")]


def _masked(key: dict[str, Any]) -> str:
    return f"{key.get('prefix') or ''}…{key.get('last4') or ''}"


def _target(key: dict[str, Any]) -> str:
    target = key["target"]
    return f"router/{target['router']}" if target.get("router") else str(target.get("model"))


def _facts(key: dict[str, Any]) -> list[tuple[str, Any]]:
    name, masked, target, allowed, state, expires = _row(key)
    facts = [("name", name), ("id", key["id"]), ("key", masked), ("state", state), ("target", target)]
    facts += [("allowed", allowed), ("expires", expires), ("created", key.get("created_at"))]
    return facts + [(field, key.get(field)) for field in ("description", "tags", "endpoints", "networks")]


def _show(text: str, key: dict[str, Any], json: bool) -> None:
    if json:
        print_json(text)
    else:
        print_facts(_facts(key))


def _show_new(text: str, key: dict[str, Any], json: bool) -> None:
    if json:
        print_json(text)
        return
    print_facts((name, key["key"] if name == "key" else value) for name, value in _facts(key))
    say("Keep the key now: it is not shown again.", style="bold")
