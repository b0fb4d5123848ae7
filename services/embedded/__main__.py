"""`localrouter up`: ``python -m services.embedded``."""

import argparse
import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from services.embedded.app import SERVICES, House, build
from services.embedded.nats_server import NatsServer
from shared.kernel.secrets import Secret
from shared.log.nats import NatsLog
from shared.log.port import EventLog
from shared.runtime.backups import backups
from shared.runtime.bootstrap import USAGE_SHARE, bootstrap_log
from shared.runtime.logging import configure_logging
from shared.runtime.master_key import load_master_keys
from shared.runtime.nats_users import BACKUP
from shared.runtime.process import Place, run_process, serve, settle_memory
from shared.runtime.server import bind
from shared.runtime.settings_file import log_folder
from shared.runtime.token_files import admin_token

NOT_THERE = 4
"""Exit code of what is not there yet."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything until stopped."""
    options = _options(arguments)
    if options.workers != 1:
        print("localrouter: up --workers is not there yet; one worker serves everything.", file=sys.stderr)  # noqa: T201  a sentence to whoever typed it
        sys.exit(NOT_THERE)
    environ = dict(os.environ)
    if options.no_local_model:
        environ["LOCALROUTER_PROVIDERS__LOCAL_MODEL"] = "false"
    run_process(lambda: up(Place.here(environ), as_json=options.json))


async def up(place: Place, *, as_json: bool = False) -> None:
    """Start nats-server and every service in this process, and serve until signalled."""
    settings = place.settings
    configure_logging(settings.log, log_folder(settings, place.home), service="localrouter")
    masters = load_master_keys(place.home, place.environ)
    most = settings.nats.max_store_bytes
    # no name for the keys here: they may be rotated while this goes on
    async with NatsServer(place.home, masters.ring()[0], older=masters.ring()[1:], max_store_bytes=most) as server:
        bound = bind(settings.server.host, settings.server.port)
        token = admin_token(place.home, place.environ)
        await bootstrap_log(
            server.url,
            user="bootstrap",
            password=server.users["bootstrap"],
            usage_max_bytes=int(most * USAGE_SHARE),
        )
        connections = [NatsLog.connect(server.url, user=n, password=server.users[n], name=n) for n in SERVICES]
        logs: dict[str, EventLog] = dict(zip(SERVICES, await asyncio.gather(*connections), strict=True))
        try:
            password = server.users[BACKUP]
            backup = backups(server.url, user=BACKUP, password=password, folder=place.home, masters=masters)
            house = build(place, logs, masters=masters, admin_token=token, backup=backup)
            await _serve(house, place, bound, as_json=as_json)
        finally:
            await asyncio.gather(*(log.close() for log in logs.values()))


async def _serve(house: House, place: Place, bound: socket.socket, *, as_json: bool) -> None:
    gateway = house.gateway
    try:
        await house.start()
        announced = _announced(place, [await gateway.first_key()], as_json=as_json)
        settle_memory()
        await serve(gateway.service.app, bound, place.settings, drain=gateway.drain, started=announced)
    finally:
        await house.stop()


def _announced(place: Place, first: list[Secret | None], *, as_json: bool) -> Callable[[], Awaitable[None]]:
    async def announce() -> None:
        key = first.pop()  # this function is kept as long as the process runs, the key need not be
        host = place.settings.server.host
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        url = f"http://{f'[{shown}]' if ':' in shown else shown}:{place.settings.server.port}"
        text = _as_json(place, url, key) if as_json else _for_people(place, url, key)
        print(text, flush=True)  # noqa: T201  what `up` is there to say

    return announce


def _as_json(place: Place, url: str, key: Secret | None) -> str:
    return json.dumps(
        {
            "url": url,
            "key": None if key is None else key.reveal(),
            "admin_token_file": str(place.home / "admin-token"),
            "home": str(place.home),
        }
    )


def _for_people(place: Place, url: str, key: Secret | None) -> str:
    if key is None:
        return (
            f"\nLocalRouter is at {url}  (data in {place.home})\n"
            f"Make a key for an application:  {_command()} keys create --name my-app\n"
        )
    return f"""
LocalRouter is at {url}  (data in {place.home})

Your first key, shown this once:

    {key.reveal()}

Try it:

    curl {url}/v1/chat/completions \\
      -H "Authorization: Bearer {key.reveal()}" \\
      -H "Content-Type: application/json" \\
      -d '{{"model": "auto", "messages": [{{"role": "user", "content": "Say hello in one sentence."}}]}}'

Another key for another application:  {_command()} keys create --name my-app
"""


def _command() -> str:
    """Return how the command line of this installation is called from here."""
    command = Path(sys.executable).parent / "localrouter"
    found = shutil.which("localrouter")
    if found is not None and Path(found).resolve() == command.resolve():
        return "localrouter"
    return str(command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="localrouter up", description="Run LocalRouter in this terminal.")
    parser.add_argument("--workers", type=int, default=1, help="gateway processes (one so far)")
    parser.add_argument("--no-local-model", action="store_true", help="do not offer the built-in model")
    parser.add_argument("--json", action="store_true", help="say where it is as one line of JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
