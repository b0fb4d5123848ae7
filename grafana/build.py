"""All dashboards as the files that Grafana reads; ``python -m grafana.build`` writes them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.log_health import log_health
from grafana.overview import overview
from grafana.providers import providers

FOLDER: Final = Path(__file__).parent / "dashboards"


def dashboards() -> Iterator[tuple[Path, str]]:
    """Yield every dashboard's file with what it should hold."""
    for name, make in (("overview", overview), ("providers", providers), ("log-health", log_health)):
        yield FOLDER / f"{name}.json", JSONEncoder(sort_keys=True, indent=1).encode(make()) + "\n"


if __name__ == "__main__":
    for file, text in dashboards():
        file.write_text(text)
