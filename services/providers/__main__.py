"""The providers service in a process of its own: ``python -m services.providers``."""

from services.providers.app import build
from services.providers.settings import ProvidersSettings
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.process import Running, Surroundings, run


def providers(surroundings: Surroundings) -> Running:
    """Build the providers service."""
    place = surroundings.place
    built = build(
        ProvidersSettings.from_settings(place.settings, place.home),
        log=surroundings.log,
        secrets=surroundings.secrets,
        clock=SYSTEM_CLOCK,
        new_id=new_id,
        snapshots=surroundings.snapshots,
        environ=place.environ,
        token=surroundings.service_token,
    )
    services = place.settings.services
    return Running(built.service, services.host, services.providers_port)


def main() -> None:
    """Run until stopped."""
    run("providers", providers)


if __name__ == "__main__":
    main()
