"""The metrics service in a process of its own: ``python -m services.metrics``."""

from services.metrics.app import build
from services.metrics.settings import MetricsSettings
from shared.runtime.clock import SYSTEM_CLOCK
from shared.runtime.process import Running, Surroundings, run


def metrics(surroundings: Surroundings) -> Running:
    """Build the metrics service."""
    place = surroundings.place
    service = build(
        MetricsSettings.from_settings(place.settings, place.home),
        log=surroundings.log,
        clock=SYSTEM_CLOCK,
        snapshots=place.snapshots("metrics"),
        token=surroundings.service_token,
    )
    services = place.settings.services
    return Running(service, services.host, services.metrics_port)


def main() -> None:
    """Run until stopped."""
    run("metrics", metrics)


if __name__ == "__main__":
    main()
