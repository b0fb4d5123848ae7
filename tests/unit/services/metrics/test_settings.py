"""Where the ledger and the access log are."""

from pathlib import Path

import pytest

from services.metrics.settings import MetricsSettings, Postgres
from shared.kernel.errors import StartRefused
from shared.runtime.settings import Settings


def test_both_are_in_the_data_folder():
    assert MetricsSettings.from_settings(Settings(), Path("/home")) == MetricsSettings(
        database=Path("/home/ledger.db"), logs=Path("/home/logs"), access_days=30
    )


def test_both_may_be_elsewhere():
    settings = Settings.model_validate(
        {"database": {"url": "sqlite:////data/l.db"}, "log": {"folder": "/var/log/lr", "access_days": 7}}
    )
    assert MetricsSettings.from_settings(settings, Path("/home")) == MetricsSettings(
        database=Path("/data/l.db"), logs=Path("/var/log/lr"), access_days=7
    )


def test_the_ledger_may_be_in_postgresql_and_its_password_is_never_shown(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    given = {"url": "postgresql://user@host:5433/db", "password_file": str(secret)}
    found = MetricsSettings.from_settings(Settings.model_validate({"database": given}), Path("/home"))
    assert found.database == Postgres("postgresql://user@host:5433/db", "hunter2")
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        ("postgresql://user:hunter2@host/db", {}),
        ("postgres://user@host/db", {"password": "hunter2"}),
        ("postgresql+psycopg://user:old@host/db", {"password": "hunter2"}),
    ],
)
def test_a_password_may_come_in_several_ways(url, extra):
    found = MetricsSettings.from_settings(Settings.model_validate({"database": {"url": url, **extra}}), Path("/home"))
    assert found.database == Postgres("postgresql://user@host/db", "hunter2")


@pytest.mark.parametrize("url", ["mysql://user:hunter2@host/db", "postgresql://user:hunter2@host", "ledger.db"])
def test_another_kind_of_database_is_refused_without_showing_its_password(url):
    settings = Settings.model_validate({"database": {"url": url}})
    with pytest.raises(StartRefused, match="sqlite:///") as refused:
        MetricsSettings.from_settings(settings, Path("/home"))
    assert "hunter2" not in str(refused.value)


def test_a_password_file_that_is_not_there_is_named():
    settings = Settings.model_validate(
        {"database": {"url": "postgresql://user@host/db", "password_file": "/nowhere/password"}}
    )
    with pytest.raises(StartRefused, match="/nowhere/password"):
        MetricsSettings.from_settings(settings, Path("/home"))
