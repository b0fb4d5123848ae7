"""What is PostgreSQL's alone: partitions, one writer, refused logins, a server that goes away and comes back."""

import asyncio

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.metrics.adapters.database import LedgerUnavailable
from services.metrics.adapters.databases import open_database
from services.metrics.adapters.schema import migrate
from services.metrics.adapters.tables import METADATA
from services.metrics.settings import MetricsSettings, Postgres
from shared.kernel.errors import StartRefused
from shared.testing.postgres import PASSWORD, throw_away_postgres
from shared.testing.usage import usage_record
from tests.support.metrics import KeptInPostgres, Rig, client_of


@pytest.fixture
def kept(database):
    found = KeptInPostgres(database)
    found.renew()
    return found


def parts(kept):
    found = kept.rows("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY 1")
    return {name for (name,) in found}


async def reason(client):
    return (await client.get("/readyz")).json()["reasons"]


def test_the_migrations_make_the_tables_that_the_code_uses(database):
    def ours(name, kind, parent):
        # partitions come and go with the days
        return kind != "table" or name in METADATA.tables

    engine = open_database(database).engine("write")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": ours})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


async def test_days_have_a_partition_before_they_come_and_others_get_one_by_need(rig, kept):
    async with rig.running() as client:
        tables = ("attempt_rows", "records", "requests")
        assert {f"{table}_{day}" for table in tables for day in (20260301, 20260302, 20260303)} <= parts(kept)
        await rig.publish(usage_record(1), usage_record(2, time="2025-01-25T01:02:03Z"), usage_record(86_400 * 40))
        await rig.projected(client)
    assert kept.rows("SELECT count(*) FROM requests_20250125") == [(1,)]
    assert kept.rows("SELECT count(*) FROM records_20260410") == [(1,)]
    assert kept.rows("SELECT count(*) FROM requests") == [(3,)]


async def test_a_retry_across_midnight_counts_once(rig, kept):
    late = usage_record(12 * 3600 - 1)
    async with rig.running() as client:
        await rig.publish(late, message_id="before")
        await rig.publish(usage_record(12 * 3600), late, message_id="after")
        await rig.projected(client)
    assert kept.rows("SELECT day, count(*) FROM requests GROUP BY day ORDER BY day") == [
        ("2026-03-01", 1),
        ("2026-03-02", 1),
    ]


async def test_text_that_postgresql_cannot_hold_is_no_poison(rig, kept):
    async with rig.running() as client:
        await rig.publish(usage_record(1, requested_model="a\0b", tags={"x": "\0"}))
        await rig.projected(client)
        found = (await client.get(f"/admin/v1/requests/{usage_record(1).id}")).json()
    assert await rig.buried() == []
    assert kept.rows("SELECT requested_model FROM requests") == [("a�b",)]
    assert found["requested_model"] == "a\0b"


async def test_a_second_writer_waits_for_the_first_to_end(rig, kept, tmp_path):
    other = Rig(MetricsSettings(database=kept.place, logs=tmp_path / "other"), kept, log=rig.log)
    async with rig.running() as client:
        await rig.publish(usage_record(1))
        await rig.projected(client)
        second = other.make()
        await second.start()
        assert "another metrics service writes the ledger" in (await reason(client_of(second)))[0]
    try:
        await rig.publish(usage_record(2))
        await rig.projected(client_of(second))
    finally:
        await second.stop()
    assert kept.rows("SELECT count(*) FROM requests") == [(2,)]


@pytest.mark.parametrize("change", [{"password": "wrong horse"}, {"password": None}, {"url": "nowhere"}])
async def test_a_login_that_is_refused_is_said_in_a_sentence_without_the_password(postgres, database, change):
    place = Postgres(**{"url": database.url, "password": PASSWORD} | change)
    if place.url == "nowhere":
        place = Postgres(postgres.url("nowhere"), PASSWORD)
    with pytest.raises(StartRefused, match="does not let us in") as refused:
        await migrate(place)
    assert "horse" not in str(refused.value)


async def test_tables_of_a_newer_version_are_refused(postgres):
    place = Postgres(postgres.create("newer"), PASSWORD)
    await migrate(place)
    with psycopg.connect(place.url, password=PASSWORD, autocommit=True) as connection:
        connection.execute("UPDATE ledger.alembic_version SET version_num = '9999'")
    with pytest.raises(StartRefused, match="newer version"):
        await migrate(place)


async def test_two_that_start_at_once_migrate_once(postgres):
    place = Postgres(postgres.create("twice"), PASSWORD)
    await asyncio.gather(migrate(place), migrate(place))


async def test_a_server_that_is_not_there_is_waited_for_and_one_that_goes_away_too(tmp_path):
    with throw_away_postgres() as server:
        place = Postgres(server.create("ledger"), PASSWORD)
        server.kill()
        with pytest.raises(LedgerUnavailable, match="does not answer"):
            await migrate(place)
        rig = Rig(MetricsSettings(database=place, logs=tmp_path))
        async with rig.running() as client:
            assert "does not answer" in (await reason(client))[0]
            await rig.publish(usage_record(1))
            server.start()
            await rig.projected(client)
            assert (await client.get("/readyz")).status_code == 200
            server.kill()
            await rig.publish(usage_record(2))

            async def told() -> bool:
                return (await client.get("/readyz")).status_code == 503

            await rig.eventually(told)
            server.start()
            await rig.projected(client)
            text = (await client.get("/metrics")).text
        assert 'status="succeeded"} 2.0' in text
        assert KeptInPostgres(place).rows("SELECT count(*), count(DISTINCT id) FROM requests") == [(2, 2)]
