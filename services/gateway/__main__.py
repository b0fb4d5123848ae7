"""The gateway in a process of its own: ``python -m services.gateway``, and ``… restore FILE``."""

import itertools
import sys
from pathlib import Path
from typing import Final

from services.gateway.adapters.admin_proxy import HttpClient, RemoteService
from services.gateway.adapters.journal import JournalInUse
from services.gateway.adapters.providers_http import HttpCompletions
from services.gateway.app import Gateway, build
from services.gateway.settings import GatewaySettings
from shared.runtime.backups import backups, copying_user
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.master_key import FILE_VARIABLE
from shared.runtime.process import Running, Surroundings, run
from shared.runtime.store_key import rewrap_store_key
from shared.runtime.token_files import admin_token

AUTO: Final = "auto"
"""A ``gateway.id`` for replicas of one container: each takes the first journal that nobody writes."""


def gateway(surroundings: Surroundings) -> Running:
    """Build the gateway over HTTP to the other services."""
    place = surroundings.place
    settings = GatewaySettings.from_settings(place.settings, place.home)
    built = _first_free(surroundings, settings) if settings.gateway_id == AUTO else _build(surroundings, settings)

    async def say_how_to_begin() -> None:
        if not built.has_keys():
            command = place.environ.get("LOCALROUTER_COMMAND", "localrouter")
            print(f"\nLocalRouter has no key yet. Make the first:\n\n    {command} keys create\n", flush=True)  # noqa: T201  to whoever started it

    return Running(built.service, settings.host, settings.port, built.drain, say_how_to_begin)


def _first_free(surroundings: Surroundings, settings: GatewaySettings) -> Gateway:
    """Build the first of gateway-1, gateway-2 … whose journal is free: one that is gone left work in its own."""
    for number in itertools.count(1):
        try:
            return _build(surroundings, settings.named(f"gateway-{number}"))
        except JournalInUse:
            continue
    raise AssertionError("there is always another number")


def _build(surroundings: Surroundings, settings: GatewaySettings) -> Gateway:
    place = surroundings.place
    urls = place.settings.services
    client = HttpClient()
    completions = HttpCompletions(urls.providers_url, surroundings.service_token)
    others = {
        name: RemoteService(name, url, surroundings.service_token, client)
        for name, url in (
            ("router", urls.router_url),
            ("providers", urls.providers_url),
            ("metrics", urls.metrics_url),
        )
    }
    nats = place.settings.nats
    user, password = copying_user(nats, "gateway")
    master_file = place.environ.get(FILE_VARIABLE)
    return build(
        settings,
        log=surroundings.log,
        secrets=surroundings.secrets,
        masters=surroundings.masters,
        # in containers the key of the log's store lies beside the master key; else there may be a store from when all
        # was one process, which its key must go on opening
        rewrap_more=lambda ring: rewrap_store_key(
            Path(master_file).parent if master_file else place.home / "nats", ring
        ),
        backup=backups(nats.url or "", user=user, password=password, folder=place.home, masters=surroundings.masters),
        completions=completions,
        services=others,
        readiness={name: other.not_ready for name, other in others.items()},
        admin_token=admin_token(place.home, place.environ),
        snapshots=surroundings.snapshots,
        clock=SYSTEM_CLOCK,
        new_id=new_id,
        remote=(client, completions),
        metrics_token=surroundings.service_token,
    )


def main() -> None:
    """Run until stopped, or make an empty log from a backup."""
    if sys.argv[1:2] == ["restore"]:
        from services.gateway.adapters.restore import main as restore

        restore(sys.argv[2:])
        return
    run("gateway", gateway, alone=True)


if __name__ == "__main__":
    main()
