"""`localrouter providers`: where models are, and what opens them."""

import os
import sys
from typing import Annotated, Any

import typer

from services.cli.client import Admin, segment
from services.cli.errors import CommandFailed, Exit
from services.cli.output import Json, Yes, confirm, plain, print_facts, print_json, print_table, say
from services.cli.signin import by_code, by_device

app = typer.Typer(help="Providers: where models are, and what opens them.", no_args_is_help=True)
credential = typer.Typer(help="A provider's API keys; sealed at once and never shown.", no_args_is_help=True)
app.add_typer(credential, name="credential")

Provider = Annotated[str, typer.Argument(help="A provider's slug or id.")]
BaseUrl = Annotated[str | None, typer.Option(help="Where its API is, if not at the vendor's own address.")]
Models = Annotated[list[str] | None, typer.Option("--model", help="A model of a server that lists none; repeatable.")]
Headers = Annotated[list[str] | None, typer.Option("--header", help="NAME=VALUE, sent with each request; repeatable.")]
Local = Annotated[bool | None, typer.Option(help="It may be in a private network, and costs nothing.")]
Subscription = Annotated[bool | None, typer.Option(help="Paid by month, not by token.")]
ProbeInterval = Annotated[float | None, typer.Option(help="Seconds between two probes; 30.")]
ProbeTimeout = Annotated[float | None, typer.Option(help="Seconds a probe may take; 5.")]
DegradedAfter = Annotated[float | None, typer.Option(help="A slower probe, in seconds, shows degraded; 2.")]
BreakerFailures = Annotated[int | None, typer.Option(help="Failures in a row that open the breaker; 3.")]
BreakerOpen = Annotated[float | None, typer.Option(help="Seconds that an open breaker rests; 60.")]
PlanReserve = Annotated[
    float | None, typer.Option(help="The share of a subscription's plan that is left untouched; 0.05.")
]
FromEnv = Annotated[str | None, typer.Option(help="Take the secret from this environment variable.")]


@app.command("list")
def list_providers(json: Json = False) -> None:
    """List the providers."""
    answer = Admin().pages("providers")
    if json:
        print_json(answer.text)
        return
    columns = ("slug", "vendor", "health", "breaker", "state", "credentials", "base url", "id")
    print_table(columns, (_row(provider) for provider in answer.data["items"]))


@app.command("add")
def add_provider(
    vendor: Annotated[str, typer.Argument(help="A vendor, such as openai, ollama or openai-compatible.")],
    slug: Annotated[
        str | None, typer.Option(help="Its name here and before its models' names; else the vendor's.")
    ] = None,
    base_url: BaseUrl = None,
    model: Models = None,
    header: Headers = None,
    local: Local = None,
    subscription: Subscription = None,
    probe_interval: ProbeInterval = None,
    probe_timeout: ProbeTimeout = None,
    degraded_after: DegradedAfter = None,
    breaker_failures: BreakerFailures = None,
    breaker_open: BreakerOpen = None,
    plan_reserve: PlanReserve = None,
    from_env: FromEnv = None,
    json: Json = False,
) -> None:
    """Add a provider; with --from-env its API key too, else see `providers credential set`."""
    secret = None if from_env is None else _from_environment(from_env)
    health = _health(probe_interval, probe_timeout, degraded_after, breaker_failures, breaker_open, plan_reserve)
    given = _body(None, base_url, model, header, local, subscription, health)
    body = {"vendor": vendor, "slug": slug or vendor, **given}
    admin = Admin()
    answer = admin.post("providers", body)
    if secret is not None:
        path = f"providers/{segment(answer.data['id'])}"
        admin.send("PUT", f"{path}/credentials", {"value": secret})
        answer = admin.get(path)
    _show(answer.text, answer.data, json)


@app.command("show")
def show_provider(provider: Provider, json: Json = False) -> None:
    """Show a provider."""
    admin = Admin()
    answer = admin.get(_path(admin, provider))
    _show(answer.text, answer.data, json)


@app.command("update")
def update_provider(
    provider: Provider,
    slug: Annotated[str | None, typer.Option(help="A new slug.")] = None,
    base_url: BaseUrl = None,
    model: Models = None,
    header: Headers = None,
    local: Local = None,
    subscription: Subscription = None,
    probe_interval: ProbeInterval = None,
    probe_timeout: ProbeTimeout = None,
    degraded_after: DegradedAfter = None,
    breaker_failures: BreakerFailures = None,
    breaker_open: BreakerOpen = None,
    plan_reserve: PlanReserve = None,
    json: Json = False,
) -> None:
    """Change a provider; what is not said stays."""
    health = _health(probe_interval, probe_timeout, degraded_after, breaker_failures, breaker_open, plan_reserve)
    body = _body(slug, base_url, model, header, local, subscription, health)
    if not body:
        raise typer.BadParameter("say what to change, such as --base-url http://127.0.0.1:8080/v1")
    _patch(provider, body, json)


@app.command("discover")
def discover_providers(json: Json = False) -> None:
    """Look for model servers on the usual ports of the gateway's machine; nothing is added."""
    answer = Admin().get("providers/discover")
    if json:
        print_json(answer.text)
        return
    columns = ("vendor", "base url", ">models", "provider")
    found: list[dict[str, Any]] = answer.data["items"]
    print_table(columns, ([item["vendor"], item["base_url"], len(item["models"]), item["provider"]] for item in found))


@app.command("test")
def probe_provider(
    provider: Annotated[str | None, typer.Argument(help="A provider's slug or id.")] = None,
    vendor: Annotated[str | None, typer.Option(help="Instead: try a vendor without adding a provider.")] = None,
    base_url: BaseUrl = None,
    local: Local = None,
    from_env: FromEnv = None,
    json: Json = False,
) -> None:
    """Ask a provider for its models now; exit 1 if it does not answer.

    A rejected credential that is taken is in use again.
    """
    if (provider is None) == (vendor is None):
        raise typer.BadParameter("say which provider, or --vendor for one that is not added yet")
    admin = Admin()
    if provider is not None:
        answer = admin.post(f"{_path(admin, provider)}/test")
    else:
        secret = None if from_env is None else _from_environment(from_env)
        trial = {"vendor": vendor, "base_url": base_url, "local": local, "credential": secret}
        answer = admin.post("providers/test", {name: value for name, value in trial.items() if value is not None})
    result: dict[str, Any] = answer.data
    if json:
        print_json(answer.text)
    else:
        print_facts((name.replace("_", " "), value) for name, value in result.items())
    if result.get("ok") is False:
        raise typer.Exit(Exit.FAILED)


@app.command("enable")
def enable_provider(provider: Provider, json: Json = False) -> None:
    """Let requests go to a provider again."""
    _patch(provider, {"enabled": True}, json)


@app.command("disable")
def disable_provider(provider: Provider, json: Json = False) -> None:
    """Send a provider no requests until it is enabled again."""
    _patch(provider, {"enabled": False}, json)


@app.command("remove")
def remove_provider(provider: Provider, yes: Yes = False, json: Json = False) -> None:
    """Remove a provider and its credentials for good; refused while a key or router uses it."""
    admin = Admin()
    found = admin.find("providers", provider, "slug")
    confirm(f"Remove {plain(found['slug'])} and its credentials for good?", yes=yes)
    admin.delete(f"providers/{segment(found['id'])}")
    if json:
        print_json({"id": found["id"], "deleted": True})
    else:
        say(f"{found['slug']} is removed.")


@app.command("login")
def login(
    provider: Provider,
    client_id: Annotated[str | None, typer.Option(help="Who LocalRouter is to the server.")] = None,
    issuer: Annotated[str | None, typer.Option(help="The server; its metadata names its addresses.")] = None,
    preset: Annotated[str | None, typer.Option(help="A known server, such as openai.")] = None,
    unofficial: Annotated[bool, typer.Option(help="Take a preset its vendor has not documented for others.")] = False,
    authorize_url: Annotated[str | None, typer.Option(help="Where one signs in, without an issuer.")] = None,
    token_url: Annotated[str | None, typer.Option(help="Where tokens are from, without an issuer.")] = None,
    device_url: Annotated[str | None, typer.Option(help="Where device codes are from, without an issuer.")] = None,
    revoke_url: Annotated[str | None, typer.Option(help="Where tokens are ended, without an issuer.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="What to ask for; repeatable.")] = None,
    secret_from_env: Annotated[str | None, typer.Option(help="The client's secret, if it has one.")] = None,
    device: Annotated[bool, typer.Option("--device", help="Sign in on another device, by a code.")] = False,
    port: Annotated[int, typer.Option(help="Where the browser comes back to on 127.0.0.1; 0: any.")] = 0,
    name: Annotated[str | None, typer.Option(help="For a further credential beside the first.")] = None,
    json: Json = False,
) -> None:
    """Sign in at a provider's authorization server (OAuth 2.0): its tokens are stored sealed and renewed in time."""
    body: dict[str, Any] = {
        "client_id": client_id,
        "issuer": issuer,
        "preset": preset,
        "unofficial": unofficial or None,
        "authorize_url": authorize_url,
        "token_url": token_url,
        "device_url": device_url,
        "revoke_url": revoke_url,
        "scopes": scope or None,
        "client_secret": None if secret_from_env is None else _from_environment(secret_from_env),
        "name": name,
    }
    body = {member: value for member, value in body.items() if value is not None}
    admin = Admin()
    path = _path(admin, provider)
    signed_in = by_device(admin, path, body) if device else by_code(admin, path, body, port=port)
    if json:
        print_json(signed_in)
    else:
        say(f"{provider} is signed in: the tokens are stored, and renewed in time.")


@app.command("breaker-reset")
def breaker_reset(provider: Provider, json: Json = False) -> None:
    """Let requests go to a provider at once that was left alone because it failed."""
    admin = Admin()
    answer = admin.post(f"{_path(admin, provider)}/breaker-reset")
    _show(answer.text, answer.data, json)


@credential.command("set")
def set_credential(
    provider: Provider,
    name: Annotated[str | None, typer.Option(help="For a further one beside the first.")] = None,
    from_env: FromEnv = None,
    json: Json = False,
) -> None:
    """Store a provider's API key, from a prompt, from stdin or with --from-env; never from an argument."""
    secret = _from_person() if from_env is None else _from_environment(from_env)
    admin = Admin()
    body = {"value": secret} if name is None else {"value": secret, "name": name}
    answer = admin.send("PUT", f"{_path(admin, provider)}/credentials", body)
    if json:
        print_json(answer.text)
    else:
        say(f"The credential of {provider} is stored.")


@credential.command("remove")
def remove_credential(
    provider: Provider,
    name: Annotated[
        str | None, typer.Argument(help="Which one, by name, id or fingerprint, if there are more.")
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove a provider's API key for good."""
    admin = Admin()
    found = admin.find("providers", provider, "slug")
    chosen = _choose(found, name)
    confirm(f"Remove the credential {chosen['fingerprint']} of {plain(found['slug'])} for good?", yes=yes)
    admin.delete(f"providers/{segment(found['id'])}/credentials", credential_id=chosen["id"])
    if json:
        print_json({"id": chosen["id"], "deleted": True})
    else:
        say(f"The credential {chosen['fingerprint']} of {found['slug']} is removed.")


def _choose(provider: dict[str, Any], name: str | None) -> dict[str, Any]:
    stored: list[dict[str, Any]] = provider.get("credentials", [])
    named = [item for item in stored if name in (None, item["id"], item.get("name"), item["fingerprint"])]
    if len(named) == 1 and named[0]["source"] == "environment":
        sentence = f"{provider['slug']} takes its credential from the gateway's environment: unset it there"
        raise CommandFailed(Exit.REFUSED, sentence)
    if len(named) == 1:
        return named[0]
    known = ", ".join(item.get("name") or item["fingerprint"] for item in stored) or "none"
    which = "no credential" if not named else "more than one credential"
    said = "" if name is None else f" named {name!r}"
    raise CommandFailed(Exit.REFUSED, f"{provider['slug']} has {which}{said}; there are: {known}")


def _from_environment(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise typer.BadParameter(f"the environment has no {name}", param_hint="--from-env")
    return value


def _from_person() -> str:
    value = typer.prompt("API key", hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    if not value.strip():
        raise typer.BadParameter("nothing came from stdin: pipe the API key in, or use --from-env")
    return str(value).strip()


def _body(
    slug: str | None,
    base_url: str | None,
    models: list[str] | None,
    headers: list[str] | None,
    local: bool | None,
    subscription: bool | None,
    health: dict[str, Any],
) -> dict[str, Any]:
    body: dict[str, Any] = {"slug": slug, "base_url": base_url, "local": local, "subscription": subscription}
    options = {name: value for name, value in health.items() if value is not None}
    if models:
        options["models"] = [model for model in models if model]
    if headers:
        options["headers"] = dict(_header(item) for item in headers if item)
    return {name: value for name, value in (body | {"options": options or None}).items() if value is not None}


def _health(
    probe_interval: float | None,
    probe_timeout: float | None,
    degraded_after: float | None,
    breaker_failures: int | None,
    breaker_open: float | None,
    plan_reserve: float | None,
) -> dict[str, Any]:
    return {
        "probe_interval_s": probe_interval,
        "probe_timeout_s": probe_timeout,
        "degraded_after_s": degraded_after,
        "breaker_failures": breaker_failures,
        "breaker_open_s": breaker_open,
        "plan_reserve": plan_reserve,
    }


def _header(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise typer.BadParameter(f"a header is NAME=VALUE, not {text!r}", param_hint="--header")
    return name, value


def _patch(provider: str, body: dict[str, Any], json: bool) -> None:
    admin = Admin()
    answer = admin.patch(_path(admin, provider), body)
    _show(answer.text, answer.data, json)


def _path(admin: Admin, provider: str) -> str:
    return f"providers/{segment(admin.find('providers', provider, 'slug')['id'])}"


def _row(provider: dict[str, Any]) -> list[Any]:
    state = "enabled" if provider["enabled"] else "disabled"
    credentials = [_credential(item) for item in provider.get("credentials", [])]
    facts = [provider["slug"], provider["vendor"], provider["health"], provider.get("breaker"), state]
    return [*facts, credentials or None, provider.get("base_url"), provider["id"]]


def _credential(item: dict[str, Any]) -> str:
    name = str(item.get("name") or item["fingerprint"])
    return name if item["state"] == "in_use" else f"{name} ({item['state']})"


def _why(item: dict[str, Any]) -> str | None:
    match item["state"]:
        case "cooling":
            return f"{_credential(item)} until {item['until']}: {item['reason']}"
        case "rejected":
            return f"{_credential(item)}: {item['reason']}"
        case _:
            return None


def _show(text: str, provider: dict[str, Any], json: bool) -> None:
    if json:
        print_json(text)
        return
    slug, vendor, health, breaker, state, credentials, base_url, identity = _row(provider)
    facts = [("slug", slug), ("id", identity), ("vendor", vendor), ("state", state), ("health", health)]
    facts += [("why", provider.get("health_reason")), ("breaker", breaker)]
    facts += [("cooling until", provider.get("cool_until"))]
    facts += [("base url", base_url), ("credentials", credentials)]
    facts += [("why", _why(item)) for item in provider.get("credentials", [])]
    facts += [("local", provider.get("local") or None)]
    facts += [("subscription", provider.get("subscription") or None)]
    options: dict[str, Any] = provider.get("options") or {}
    print_facts(facts + [(name.replace("_", " "), value) for name, value in options.items()])
