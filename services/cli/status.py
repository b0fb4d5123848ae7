"""`localrouter status`: what runs, what is ready, and what stands in the way."""

from typing import Any

import msgspec
import typer

from services.cli.client import Admin
from services.cli.errors import Exit
from services.cli.output import Json, counted, print_json, print_table, say


def status(json: Json = False) -> None:
    """Show services, providers and what stands in the way; exit 1 while the gateway is not ready."""
    admin = Admin()
    ready, reasons = readiness(admin)
    health: dict[str, Any] = admin.get("health").data
    counts = {kind: len(admin.pages(kind).data["items"]) for kind in ("providers", "keys", "routers")}
    if json:
        print_json({"url": admin.url, "ready": ready, "reasons": reasons, "health": health, "counts": counts})
    else:
        _show(admin.url, ready, reasons, health, counts)
    if not ready:
        raise typer.Exit(Exit.FAILED)


def readiness(admin: Admin) -> tuple[bool, list[str]]:
    """Return whether the gateway is ready, and why not."""
    answer = admin.request("GET", "/readyz")
    try:
        reasons: list[str] = msgspec.json.decode(answer.content, type=dict[str, Any]).get("reasons", [])
    except msgspec.DecodeError:
        reasons = [f"/readyz answered {answer.status_code} and no JSON"]
    return answer.is_success, reasons


def _show(url: str, ready: bool, reasons: list[str], health: dict[str, Any], counts: dict[str, int]) -> None:
    say(
        f"{url} is {'ready' if ready else 'not ready'}: "
        + ", ".join(counted(number, kind[:-1]) for kind, number in counts.items())
    )
    for reason in [*reasons, *health.get("degraded", [])]:
        say(f"  {reason}", style="yellow")
    services = health.get("services", [])
    print_table(
        ("service", "ready", "why"), ([item["name"], item["ready"], item.get("reasons") or ""] for item in services)
    )
    providers = health.get("providers", [])
    columns = ("provider", "health", "breaker", "why")
    print_table(columns, ([p["provider"], p["health"], p["breaker"], p.get("reason") or ""] for p in providers))
