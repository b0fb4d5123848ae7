"""The ledger's tables: made and kept by migrations, in a child process."""

import sqlite3
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import services.metrics.migrations
from services.metrics.adapters import schema
from services.metrics.adapters.sqlite import Sqlite
from services.metrics.adapters.tables import METADATA
from shared.kernel.errors import StartRefused


@pytest.fixture
def ledger(tmp_path, empty_ledger):
    path = tmp_path / "ledger.db"
    path.write_bytes(empty_ledger)
    return path


def test_the_migrations_make_the_tables_that_the_code_uses(ledger):
    engine = Sqlite(ledger).engine("write")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_the_newest_migration_is_the_version_the_code_asks_for():
    config = Config()
    config.set_main_option("script_location", services.metrics.migrations.__path__[0])
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == schema.SCHEMA
    assert {script.revision for script in scripts.walk_revisions()} == set(schema.KNOWN)


async def test_a_ledger_that_is_current_starts_no_child(ledger, monkeypatch):
    monkeypatch.setattr(schema.sys, "executable", "/nowhere")
    await schema.migrate(ledger)


async def test_a_ledger_of_a_newer_version_is_refused(ledger):
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(StartRefused, match="newer version"):
        await schema.migrate(ledger)


async def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(b"these are the words of a poem, not of a database" * 100)
    with pytest.raises(StartRefused, match="is not a ledger"):
        await schema.migrate(path)
    assert path.read_bytes().startswith(b"these are the words")


async def test_a_migration_that_fails_is_told_and_changes_nothing(tmp_path):
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE attempts (somebody, elses)")
        connection.commit()
    with pytest.raises(StartRefused, match="could not be migrated"):
        await schema.migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("attempts",)]


def test_a_power_cut_can_only_take_whole_transactions(ledger):
    engine = Sqlite(ledger).engine("write")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
    engine.dispose()
