"""Where the ledger and the access log are."""

from pathlib import Path

import pytest

from services.metrics.settings import MetricsSettings
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


def test_another_kind_of_database_is_refused_without_showing_its_password():
    settings = Settings.model_validate({"database": {"url": "postgresql://user:hunter2@host/db"}})
    with pytest.raises(StartRefused, match="sqlite:///") as refused:
        MetricsSettings.from_settings(settings, Path("/home"))
    assert "hunter2" not in str(refused.value)
