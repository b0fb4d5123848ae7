"""The gateway in a process of its own: ``python -m services.gateway``."""

from services.gateway.adapters.admin_proxy import HttpClient, RemoteService
from services.gateway.adapters.providers_http import HttpCompletions
from services.gateway.app import build
from services.gateway.settings import GatewaySettings
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.process import Running, Surroundings, run
from shared.runtime.token_files import admin_token


def gateway(surroundings: Surroundings) -> Running:
    """Build the gateway over HTTP to the other services."""
    place = surroundings.place
    settings = GatewaySettings.from_settings(place.settings, place.home)
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
    built = build(
        settings,
        log=surroundings.log,
        secrets=surroundings.secrets,
        completions=completions,
        services=others,
        readiness={name: other.not_ready for name, other in others.items()},
        admin_token=admin_token(place.home, place.environ),
        snapshots=surroundings.snapshots,
        clock=SYSTEM_CLOCK,
        new_id=new_id,
        remote=(client, completions),
    )
    return Running(built.service, settings.host, settings.port, built.drain)


def main() -> None:
    """Run until stopped."""
    run("gateway", gateway)


if __name__ == "__main__":
    main()
