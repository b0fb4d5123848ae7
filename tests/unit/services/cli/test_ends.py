"""How commands end: exit codes, sentences, and names that come later."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

ADMIN = "/admin/v1"

NOW = """
up | status | doctor | version
keys list | keys create | keys show | keys update | keys rotate | keys enable | keys disable | keys delete
routers list | routers show | routers create | routers update | routers preview | routers delete
providers list | providers add | providers show | providers update | providers test | providers credential set
providers credential remove | providers enable | providers disable | providers remove | providers login
secrets rotate | secrets to-keyring
models list | models refresh | models price | models alias
chat | usage | reprice | rebuild | dead-letters list | dead-letters replay | requests list | requests show
config check | config show | config path | config schema
"""
LATER = """
upgrade
events --follow | export | plan -f x | apply -f x
history | rollback --to 3 | admin-tokens list | admin-tokens create | admin-tokens revoke
limits KEY | audit verify
up --workers 2 | keys create --limit requests=60/1m | keys update x --limit requests=60/1m
"""


def commands(text: str) -> list[str]:
    return [part.strip() for line in text.strip().splitlines() for part in line.split("|")]


@pytest.mark.parametrize("command", commands(NOW))
def test_every_command_is_there_with_json(run: Run, command: str):
    result = run(*command.split(), "--help")
    assert result.code == 0
    assert "--json" in result.out


@pytest.mark.parametrize("command", commands(LATER))
@pytest.mark.parametrize("json", [[], ["--json"]])
def test_what_comes_later_is_refused_with_a_sentence(run: Run, gateway: Any, command: str, json: list[str]):
    result = run(*command.split(), *json)
    assert result.code == 4
    assert result.err.startswith("localrouter: `")
    assert result.err.endswith(" is not there yet.\n")
    assert gateway.seen == []


def test_an_unknown_command_is_wrong_usage(run: Run):
    assert run("kyes").code == 2
    assert run("keys", "list", "--colour").code == 2


def test_nobody_there_is_an_exit_code_of_its_own(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCALROUTER_URL", "http://127.0.0.1:1")
    for command in ("keys list", "status", "usage", "chat hello"):
        result = run(*command.split())
        assert result.code == 3
        assert result.err.startswith("localrouter: no gateway answers at http://127.0.0.1:1")
        assert result.err.count("\n") == 1


def test_an_address_that_is_none_is_wrong_usage(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCALROUTER_URL", "nonsense://[")
    assert run("keys", "list").code == 2


@pytest.mark.parametrize(("status", "code"), [(404, 4), (409, 4), (412, 4), (422, 4), (500, 1), (503, 1)])
def test_problem_documents_are_one_sentence(run: Run, gateway: Any, status: int, code: int):
    gateway.refuse("GET", f"{ADMIN}/keys", status, "some_code", "this cannot be")
    result = run("keys", "list")
    assert (result.code, result.out, result.err) == (code, "", "localrouter: this cannot be\n")
    result = run("keys", "list", "--json")
    assert (result.code, result.data["code"]) == (code, "some_code")


def test_a_wrong_token_is_refused_and_a_missing_one_says_where_it_is_looked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("LOCALROUTER_ADMIN_TOKEN", "wrong")
    result = run("keys", "list")
    assert result.code == 4
    assert "the token was refused" in result.err
    monkeypatch.delenv("LOCALROUTER_ADMIN_TOKEN")
    result = run("keys", "list")
    assert result.code == 4
    assert f"{tmp_path / 'home' / 'admin-token'} does not exist" in result.err


def test_the_token_is_found_in_the_data_folder_and_in_a_named_file(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    token = os.environ["LOCALROUTER_ADMIN_TOKEN"]
    monkeypatch.delenv("LOCALROUTER_ADMIN_TOKEN")
    home = tmp_path / "home"
    home.mkdir()
    (home / "admin-token").write_text(token + "\n")
    assert run("keys", "list").code == 0
    (home / "admin-token").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("LOCALROUTER_ADMIN_TOKEN_FILE", str(tmp_path / "elsewhere"))
    assert run("keys", "list").code == 0


def test_the_gateway_is_where_this_machines_settings_put_it(run: Run, gateway: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LOCALROUTER_URL")
    monkeypatch.setenv("LOCALROUTER_SERVER__HOST", "0.0.0.0")
    monkeypatch.setenv("LOCALROUTER_SERVER__PORT", gateway.url.rpartition(":")[2])
    assert run("keys", "list").code == 0


def test_somebody_elses_server_is_recognised(run: Run, gateway: Any):
    gateway.answers[("GET", f"{ADMIN}/keys")] = b"<html>hello</html>"
    result = run("keys", "list")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "is it a LocalRouter gateway?" in result.err
    gateway.answers[("GET", f"{ADMIN}/keys")] = (404, b"<html>hello</html>")
    assert "is it a LocalRouter gateway?" in run("keys", "list").err


def test_settings_with_mistakes_end_a_command_with_all_of_them(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LOCALROUTER_URL")
    monkeypatch.setenv("LOCALROUTER_SERVER__PORT", "abc")
    result = run("keys", "list")
    assert result.code == 1
    assert 'LOCALROUTER_SERVER__PORT: server.port: found "abc", allowed: an integer from 1 to 65535' in result.err


def test_config_check_names_every_mistake(run: Run, tmp_path: Path):
    assert "is not there" in run("config", "check").out
    home = tmp_path / "home"
    home.mkdir()
    (home / "localrouter.yaml").write_text("version: 1\nserver:\n  port: abc\n  hots: x\n")
    result = run("config", "check")
    assert result.code == 1
    assert result.out.splitlines() == [
        'localrouter.yaml:3: server.port: found "abc", allowed: an integer from 1 to 65535',
        "localrouter.yaml:4: server.hots: unknown name, did you mean host?",
    ]
    data = run("config", "check", "--json").data
    assert (data["ok"], len(data["problems"])) == (False, 2)
    assert run("config", "show").code == 1


def test_config_shows_what_is_in_force_without_secrets(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LOCALROUTER_NATS__PASSWORD", "hunter2")
    monkeypatch.setenv("LOCALROUTER_SERVER__PORT", "4000")
    result = run("config", "show")
    assert "  port: 4000" in result.out.splitlines()
    assert "hunter2" not in result.out
    assert run("config", "show", "--json").data["server"]["port"] == 4000
    assert run("config", "path").out.strip() == str(tmp_path / "home" / "localrouter.yaml")
    assert run("config", "path", "--json").data["exists"] is False
    assert run("config", "schema").data["title"] == "Settings"
    assert not (tmp_path / "home").exists(), "looking writes nothing"


def test_doctor_is_content_with_a_gateway_that_is(run: Run):
    result = run("doctor")
    assert result.code == 0
    assert "ok   gateway: ready" in result.out
    assert "ok   provider openai: healthy" in result.out
    data = run("doctor", "--json").data
    assert data["ok"] is True
    assert {"settings", "data folder", "disk", "port", "gateway", "local model", "log"} <= {
        check["name"] for check in data["checks"]
    }


def test_doctor_says_what_is_wrong_and_what_to_do(run: Run, gateway: Any, tmp_path: Path):
    gateway.answers[("GET", "/readyz")] = (503, {"status": "not ready", "reasons": ["the log does not answer"]})
    ill = {"id": "x", "provider": "groq", "health": "unhealthy", "breaker": "open", "reason": "timed out"}
    gateway.answers[("GET", f"{ADMIN}/health")] = {"services": [], "providers": [ill], "degraded": ["usage lags"]}
    nats = tmp_path / "home" / "nats"
    nats.mkdir(parents=True)
    (nats / "nats.conf").write_text("jetstream { sync_interval: 2m }\n")
    result = run("doctor")
    assert result.code == 1
    assert "fail gateway: not ready: the log does not answer" in result.out
    assert "warn provider groq: unhealthy: timed out" in result.out
    assert "localrouter providers test groq" in result.out
    assert "warn gateway: usage lags" in result.out
    assert "fail log: writes are not synced" in result.out


def test_doctor_without_a_gateway_looks_at_the_port(run: Run, gateway: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCALROUTER_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("LOCALROUTER_SERVER__PORT", gateway.url.rpartition(":")[2])
    result = run("doctor")
    assert result.code == 1
    assert "fail port: 127.0.0.1" in result.out
    monkeypatch.setenv("LOCALROUTER_SERVER__PORT", "0")
    assert "fail settings: LOCALROUTER_SERVER__PORT" in run("doctor").out


def test_doctor_notices_a_data_folder_it_cannot_write(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOCALROUTER_HOME", str(tmp_path / "file"))
    assert "fail data folder" in run("doctor").out


def test_up_becomes_the_embedded_program(run: Run, monkeypatch: pytest.MonkeyPatch):
    became: list[list[str]] = []

    def become(_: str, arguments: list[str]) -> None:
        became.append(arguments)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", become)
    assert run("up", "--no-local-model", "--json").code == 0
    assert became == [[sys.executable, "-m", "services.embedded", "--no-local-model", "--json"]]


def test_the_version_is_said(run: Run):
    assert run("version").code == 0
    assert run("version", "--json").data["version"]


def test_nothing_heavy_is_imported_for_help():
    script = (
        "import sys\n"
        "from services.cli.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'httpx', 'pydantic', 'ruamel.yaml', 'fastapi', 'aiohttp'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert ended.stderr == "[]\n"


def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -m services.cli config schema | head -c 10"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=30)
    assert ended.stderr == ""
