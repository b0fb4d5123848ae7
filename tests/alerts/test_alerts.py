"""The alert rules, by Prometheus's own means, and that each of them is tried both ways."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "alerts" / "localrouter.yml"
CASES = Path(__file__).with_name("localrouter.test.yml")


def checked(program: str, *arguments: str | Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed; on Debian: apt install prometheus prometheus-alertmanager")
    ran = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def test_the_rules_alert_when_they_should_and_only_then() -> None:
    checked("promtool", "test", "rules", CASES)


def test_prometheus_understands_its_settings() -> None:
    checked("promtool", "check", "config", "--syntax-only", ROOT / "deploy" / "prometheus.yml")


def test_alertmanager_understands_its_settings() -> None:
    checked("amtool", "check-config", ROOT / "deploy" / "alertmanager.yml")


def test_every_alert_is_tried_both_ways() -> None:
    rules = {rule["alert"] for group in read(RULES)["groups"] for rule in group["rules"]}
    tried = [case for test in read(CASES)["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in tried if case["exp_alerts"]} == rules
    assert {case["alertname"] for case in tried if not case["exp_alerts"]} == rules


def test_every_alert_says_how_bad_it_is_and_what_it_means() -> None:
    for group in read(RULES)["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
            assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
