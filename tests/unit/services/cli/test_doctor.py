from pathlib import Path
from typing import Any

import pytest

from services.cli import doctor
from shared.runtime.settings import Settings


def settings(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


def test_a_log_of_ones_own_is_named(tmp_path: Path):
    check = doctor.check_log(settings(nats={"url": "nats://log.example:4222"}), tmp_path)
    assert check.state == "ok"
    assert "at log.example" in check.found


@pytest.mark.parametrize(
    ("configuration", "state"), [("sync_interval: always", "ok"), ("sync_interval: 2m", "fail"), (None, "ok")]
)
def test_the_embedded_log_must_sync_every_write(tmp_path: Path, configuration: str | None, state: str):
    (tmp_path / "nats").mkdir()
    if configuration is not None:
        (tmp_path / "nats" / "nats.conf").write_text(f"jetstream {{ {configuration} }}")
    assert doctor.check_log(settings(), tmp_path).state == state


def test_a_local_model_may_be_missing_or_switched_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert doctor.check_local_model(settings()).state == "warn"
    assert doctor.check_local_model(settings(providers={"local_model": False})).state == "ok"


@pytest.mark.parametrize(("free", "state"), [(10 * 1024**3, "ok"), (512 * 1024**2, "warn"), (1024, "fail")])
def test_a_disk_that_runs_full_is_said_in_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, state: str):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free}))
    check = doctor.check_disk(tmp_path / "not" / "there")
    assert check.state == state
    assert bool(check.todo) == (state != "ok")


def test_the_port_of_another_machine_is_not_looked_at():
    assert "another machine" in doctor.check_port("https://router.example", settings()).found


def test_no_provider_is_a_warning_with_the_command_that_adds_one():
    (check,) = doctor.check_providers({"providers": []})
    assert check.state == "warn"
    assert "localrouter providers add" in check.todo


def test_a_model_server_that_nobody_uses_is_offered(run, gateway):
    result = run("doctor")
    assert "vLLM at http://localhost:8000/v1 with 1 models" in result.out
    assert "localrouter providers add vllm --base-url http://localhost:8000/v1 --local" in result.out
