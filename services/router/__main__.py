"""The router in a process of its own: ``python -m services.router``."""

from services.router.app import build
from services.router.settings import RouterSettings
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.process import Running, Surroundings, run


def router(surroundings: Surroundings) -> Running:
    """Build the router."""
    place = surroundings.place
    service = build(
        RouterSettings.from_settings(place.settings, place.home),
        log=surroundings.log,
        snapshots=surroundings.snapshots,
        clock=SYSTEM_CLOCK,
        new_id=new_id,
        token=surroundings.service_token,
    )
    services = place.settings.services
    return Running(service, services.host, services.router_port)


def main() -> None:
    """Run until stopped."""
    run("router", router)


if __name__ == "__main__":
    main()
