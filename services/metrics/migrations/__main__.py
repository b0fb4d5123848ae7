"""``python -m services.metrics.migrations``, told on stdin where: bring the ledger's tables to the newest version."""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from services.metrics.adapters.databases import open_database
from services.metrics.adapters.schema import heard


def main() -> None:
    """Migrate in one transaction: the tables are at the old version or at the new one, never between."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    database = open_database(heard(sys.stdin.buffer.read()))
    database.make_schema()
    with database.engine("write").begin() as connection:
        if connection.dialect.name == "postgresql":
            # of two that start at once, one waits and then finds nothing to do
            connection.execute(text("SET LOCAL synchronous_commit TO on"))
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('localrouter migration'))"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


if __name__ == "__main__":
    main()
