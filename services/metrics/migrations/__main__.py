"""``python -m services.metrics.migrations <ledger.db>``: bring the ledger's tables to the newest version."""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config

from services.metrics.adapters.engine import open_engine


def main() -> None:
    """Migrate the file in one transaction: it is at the old version or at the new one, never between."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with open_engine(Path(sys.argv[1]), "write").begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


if __name__ == "__main__":
    main()
