"""Every command against a gateway's recorded answers."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

KEY = "0198f2b0-0000-7000-8000-000000000001"
PROVIDER = "0198f2b0-0000-7000-8000-000000000002"
REQUEST = "0198f2b0-0000-7000-8000-000000000004"
ADMIN = "/admin/v1"


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("keys list", "keys"),
        ("keys show my-app-1", f"keys/{KEY}"),
        ("providers list", "providers"),
        ("providers show openai", f"providers/{PROVIDER}"),
        ("routers list", "routers"),
        ("routers show minimum-cost", "routers/minimum-cost"),
        ("routers preview minimum-cost", "routers/minimum-cost/preview"),
        ("models list", "models"),
        ("usage", "usage"),
        ("requests list", "requests"),
        (f"requests show {REQUEST}", f"requests/{REQUEST}"),
    ],
)
def test_json_is_exactly_what_the_api_says(run: Run, gateway: Any, command: str, path: str):
    result = run(*command.split(), "--json")
    assert (result.code, result.err) == (0, "")
    assert result.out == json.dumps(gateway.answers[("GET", f"{ADMIN}/{path}")]) + "\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("keys list", "my-app-1 lr-abc…wxyz router/minimum-cost enabled"),
        ("keys show my-app-1", f"my-app-1 {KEY} team=blue"),
        ("providers list", "openai healthy closed enabled deadbeef https://api.openai.com/v1"),
        ("providers discover", "vllm http://localhost:8000/v1 1"),
        ("providers breaker-reset openai", "openai healthy"),
        ("providers show openai", "openai healthy"),
        ("routers list", "minimum-cost Minimum cost lowest_cost"),
        ("routers show minimum-cost", "minimum-cost lowest_cost"),
        ("routers preview minimum-cost", "openai/gpt-4o-mini 0.15 cheapest left out: 2 (disabled): groq/llama"),
        ("models list", "openai/gpt-4o-mini 128000 8B 0.15 0.6 chat, tools healthy"),
        ("models refresh", "3 models at 1 provider"),
        ("usage", "openai/gpt-4o-mini 24 6 68 98 $0.00004 + 1 unpriced $0.06 total"),
        ("requests list", f"succeeded my-app-1 auto openai/gpt-4o-mini 15 34 $0.00002 812 {REQUEST}"),
        (f"requests show {REQUEST}", "12 in, 3 cached, 34 out $0.03 openai/gpt-4o-mini groq/llama breaker_open 12 s"),
        ("status", "ready 1 provider, 1 key, 1 router router openai healthy closed"),
    ],
)
def test_people_get_a_table(run: Run, command: str, words: str):
    result = run(*command.split())
    assert (result.code, result.err) == (0, "")
    for word in words.split(" "):
        assert word in result.out


def test_a_key_is_created_as_said_and_shown_once(run: Run, gateway: Any):
    options = "--name tool --target openai/gpt-4o --allow openai/* --allow router/x --tag a=b --description text"
    result = run("keys", "create", *options.split(), "--expires", "2027-01-31")
    assert result.code == 0
    assert "lr-secret-value-of-the-key" in result.out
    assert "not shown again" in result.out
    assert gateway.asked("POST", f"{ADMIN}/keys").body == {
        "name": "tool",
        "target": {"model": "openai/gpt-4o"},
        "allowed": ["openai/*", "router/x"],
        "tags": {"a": "b"},
        "description": "text",
        "expires_at": "2027-01-31T00:00:00+00:00",
    }


def test_a_key_needs_nothing_said(run: Run, gateway: Any):
    assert run("keys", "create", "--json").data["key"] == "lr-secret-value-of-the-key"
    assert gateway.asked("POST", f"{ADMIN}/keys").body == {}


@pytest.mark.parametrize(
    "options",
    ["--target nothing", "--target router/", "--tag x", "--expires someday", "--expires 99999999999d", "--grace 1"],
)
def test_what_cannot_be_meant_is_wrong_usage(run: Run, gateway: Any, options: str):
    result = run("keys", "create", *options.split())
    assert result.code == 2
    assert gateway.seen == []


def test_limits_are_not_there_yet(run: Run, gateway: Any):
    result = run("keys", "create", "--limit", "cost_usd=10/month")
    assert (result.code, result.err) == (4, "localrouter: `--limit` is not there yet.\n")
    assert gateway.seen == []


def test_a_key_is_changed_by_name_and_what_is_not_said_stays(run: Run, gateway: Any):
    assert run("keys", "update", "my-app-1", "--target", "router/fast", "--allow", "", "--expires", "").code == 0
    body = gateway.asked("PATCH", f"{ADMIN}/keys/{KEY}").body
    assert body == {"target": {"router": "fast"}, "allowed": [], "expires_at": None}


def test_a_change_that_changes_nothing_is_wrong_usage(run: Run):
    assert run("keys", "update", "my-app-1").code == 2
    assert run("providers", "update", "openai").code == 2


@pytest.mark.parametrize(("command", "enabled"), [("enable", True), ("disable", False)])
def test_keys_and_providers_are_switched(run: Run, gateway: Any, command: str, enabled: bool):
    assert run("keys", command, "my-app-1").code == 0
    assert run("providers", command, "openai").code == 0
    assert gateway.asked("PATCH", f"{ADMIN}/keys/{KEY}").body == {"enabled": enabled}
    assert gateway.asked("PATCH", f"{ADMIN}/providers/{PROVIDER}").body == {"enabled": enabled}


def test_a_key_is_rotated_with_a_grace(run: Run, gateway: Any):
    assert "lr-secret-value-of-the-key" in run("keys", "rotate", KEY, "--grace", "60").out
    assert gateway.asked("POST", f"{ADMIN}/keys/{KEY}/rotate").body == {"grace_s": 60}


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("keys delete my-app-1", f"keys/{KEY}"),
        ("providers remove openai", f"providers/{PROVIDER}"),
        ("routers delete minimum-cost", "routers/minimum-cost"),
    ],
)
def test_what_is_deleted_is_said(run: Run, gateway: Any, command: str, path: str):
    assert run(*command.split()).code == 0
    assert run(*command.split(), "--json").data["deleted"] is True
    assert [seen.path for seen in gateway.seen if seen.method == "DELETE"] == [f"{ADMIN}/{path}"] * 2


def test_a_name_that_is_unknown_or_not_unique_is_refused(run: Run, gateway: Any):
    result = run("keys", "show", "nope")
    assert (result.code, result.err) == (4, "localrouter: there is no key 'nope'; there are: my-app-1\n")
    one = gateway.answers[("GET", f"{ADMIN}/keys")]["items"][0]
    gateway.answers[("GET", f"{ADMIN}/keys")] = {"items": [one, {**one, "id": "other"}], "next_cursor": None}
    result = run("keys", "show", "my-app-1")
    assert result.code == 4
    assert f"{KEY}, other" in result.err


def test_a_list_is_read_to_its_last_page(run: Run, gateway: Any):
    one = gateway.answers[("GET", f"{ADMIN}/keys")]["items"][0]

    def pages(seen: Any) -> Any:
        if "cursor" in seen.query:
            return {"items": [{**one, "name": "second"}], "next_cursor": None}
        return {"items": [{**one, "name": "first"}], "next_cursor": "there"}

    gateway.answers[("GET", f"{ADMIN}/keys")] = pages
    result = run("keys", "list", "--json")
    assert [key["name"] for key in result.data["items"]] == ["first", "second"]
    assert result.data["next_cursor"] is None


def test_a_provider_is_added_with_its_key_from_the_environment(run: Run, gateway: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_KEY", "sk-hidden")
    options = "--slug work --base-url http://10.0.0.1/v1 --model a --model b --header X-Team=blue --subscription"
    result = run("providers", "add", "openai-compatible", *options.split(), "--from-env", "MY_KEY")
    assert result.code == 0
    assert "sk-hidden" not in result.out
    assert gateway.asked("POST", f"{ADMIN}/providers").body == {
        "vendor": "openai-compatible",
        "slug": "work",
        "base_url": "http://10.0.0.1/v1",
        "subscription": True,
        "options": {"models": ["a", "b"], "headers": {"X-Team": "blue"}},
    }
    assert gateway.asked("PUT", f"{ADMIN}/providers/{PROVIDER}/credentials").body == {"value": "sk-hidden"}


def test_a_missing_variable_adds_no_provider(run: Run, gateway: Any):
    assert run("providers", "add", "openai", "--from-env", "NOT_THERE").code == 2
    assert gateway.seen == []


def test_a_credential_comes_from_stdin_and_never_from_an_argument(
    run: Run, gateway: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("sk-piped\n"))
    result = run("providers", "credential", "set", "openai", "--name", "second")
    assert result.code == 0
    assert "sk-piped" not in result.out
    body = gateway.asked("PUT", f"{ADMIN}/providers/{PROVIDER}/credentials").body
    assert body == {"value": "sk-piped", "name": "second"}
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run("providers", "credential", "set", "openai").code == 2
    assert run("providers", "credential", "set", "openai", "sk-argument").code == 2


def test_a_credential_is_removed_by_what_recognises_it(run: Run, gateway: Any):
    assert run("providers", "credential", "remove", "openai").code == 0
    assert run("providers", "credential", "remove", "openai", "deadbeef", "--json").data == {
        "id": "c1",
        "deleted": True,
    }
    assert {seen.query["credential_id"] for seen in gateway.seen if seen.method == "DELETE"} == {"c1"}
    stored = gateway.answers[("GET", f"{ADMIN}/providers")]["items"][0]
    environment = {
        "id": "environment",
        "name": "",
        "fingerprint": "deadbeef",
        "source": "environment",
        "state": "in_use",
    }
    assert "no credential named 'x'" in run("providers", "credential", "remove", "openai", "x").err
    gateway.answers[("GET", f"{ADMIN}/providers")] = {"items": [{**stored, "credentials": [environment]}]}
    result = run("providers", "credential", "remove", "openai")
    assert (result.code, "unset it there" in result.err) == (4, True)


def test_a_provider_that_does_not_answer_its_test_is_a_failure(run: Run, gateway: Any):
    assert run("providers", "test", "openai").code == 0
    gateway.answers[("POST", f"{ADMIN}/providers/{PROVIDER}/test")] = {"ok": False, "reason": "timed out"}
    result = run("providers", "test", "openai")
    assert result.code == 1
    assert "timed out" in result.out


@pytest.mark.parametrize(
    "text",
    [
        "name: Fast\norder:\n  mode: manual\n  models: [a/b]\n",
        '{"name": "Fast", "order": {"mode": "manual", "models": ["a/b"]}}',
    ],
)
def test_a_router_is_created_from_a_file(run: Run, gateway: Any, tmp_path: Path, text: str):
    file = tmp_path / "router.yaml"
    file.write_text(text)
    assert run("routers", "create", "-f", str(file)).code == 0
    body = gateway.asked("POST", f"{ADMIN}/routers").body
    assert body == {"name": "Fast", "order": {"mode": "manual", "models": ["a/b"]}}


def test_what_show_prints_update_takes_at_its_version(run: Run, gateway: Any, monkeypatch: pytest.MonkeyPatch):
    shown = run("routers", "show", "minimum-cost", "--json").out
    monkeypatch.setattr("sys.stdin", io.StringIO(shown))
    assert run("routers", "update", "minimum-cost", "-f", "-").code == 0
    sent = gateway.asked("PUT", f"{ADMIN}/routers/minimum-cost")
    assert sent.headers["if-match"] == '"2"'
    assert set(sent.body) == {"slug", "name", "models", "order", "filters", "affinity", "on_cut", "fallback"}


@pytest.mark.parametrize("text", ["[1", "- a", '{"a":', "a: 2001-99-99"])
def test_a_file_that_is_no_router_is_one_sentence(run: Run, gateway: Any, tmp_path: Path, text: str):
    file = tmp_path / "router.yaml"
    file.write_text(text)
    result = run("routers", "create", "-f", str(file))
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert run("routers", "create", "-f", str(tmp_path / "none")).code == 1
    assert gateway.seen == []


def test_an_unsaved_router_is_previewed(run: Run, gateway: Any, tmp_path: Path):
    file = tmp_path / "router.yaml"
    file.write_text("name: x\norder: {mode: manual, models: []}\n")
    assert "cheapest" in run("routers", "preview", "-f", str(file)).out
    assert run("routers", "preview").code == 2
    assert run("routers", "preview", "a", "-f", str(file)).code == 2


def test_models_are_filtered_by_the_api(run: Run, gateway: Any):
    options = (
        "--provider openai --capability tools --min-parameters 1 --max-parameters 9.5 --context 1000 --search mini"
    )
    assert run("models", "list", *options.split()).code == 0
    query = gateway.asked("GET", f"{ADMIN}/models").query
    query.pop("limit")
    assert query == {
        "provider": "openai",
        "capability": "tools",
        "min_parameters_b": "1.0",
        "max_parameters_b": "9.5",
        "min_context": "1000",
        "q": "mini",
    }


def test_usage_is_by_model_for_people_and_as_asked_for_programs(run: Run, gateway: Any):
    run("usage", "--from", "2026-01-01", "--to", "2026-01-31", "--key", "k", "--provider", "p", "--model", "m")
    query = gateway.seen[-1].query
    assert query["group_by"] == "model"
    assert (query["from"], query["to"], query["key"], query["provider"], query["model"]) == (
        *("2026-01-01", "2026-01-31", "k"),
        *("p", "m"),
    )
    run("usage", "--json")
    assert "group_by" not in gateway.seen[-1].query
    run("usage", "--group-by", "key,day", "--json")
    assert gateway.seen[-1].query["group_by"] == "key,day"


def test_status_says_why_it_is_not_ready(run: Run, gateway: Any):
    gateway.answers[("GET", "/readyz")] = (503, {"status": "not ready", "reasons": ["the log does not answer"]})
    result = run("status")
    assert result.code == 1
    assert "not ready" in result.out
    assert "the log does not answer" in result.out
    data = run("status", "--json").data
    assert (data["ready"], data["reasons"], data["counts"]["keys"]) == (False, ["the log does not answer"], 1)


def test_a_vendor_is_tried_before_it_is_added(run: Run, gateway: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk-trial")
    result = run("providers", "test", "--vendor", "groq", "--from-env", "GROQ_API_KEY")
    assert result.code == 1
    assert "no answer in 5 s" in result.out
    assert gateway.asked("POST", f"{ADMIN}/providers/test").body == {"vendor": "groq", "credential": "gsk-trial"}
    assert run("providers", "test").code == 2
    assert run("providers", "test", "openai", "--vendor", "groq").code == 2


def test_every_number_of_health_is_settable(run: Run, gateway: Any):
    numbers = ["--probe-interval", "5", "--probe-timeout", "1", "--degraded-after", "0.5", "--plan-reserve", "0.2"]
    assert run("providers", "update", "openai", *numbers, "--breaker-failures", "2", "--breaker-open", "9").code == 0
    assert gateway.asked("PATCH", f"{ADMIN}/providers/{PROVIDER}").body == {
        "options": {
            "probe_interval_s": 5.0,
            "probe_timeout_s": 1.0,
            "degraded_after_s": 0.5,
            "breaker_failures": 2,
            "breaker_open_s": 9.0,
            "plan_reserve": 0.2,
        }
    }


def test_the_list_says_what_is_wrong_with_a_credential(run: Run, gateway: Any):
    resting = {
        "id": "c1",
        "fingerprint": "deadbeef",
        "source": "stored",
        "state": "cooling",
        "reason": "the vendor limits its rate",
        "until": "2026-01-01T00:00:00Z",
    }
    refused = {"id": "c2", "name": "spare", "fingerprint": "f00dcafe", "source": "stored", "state": "rejected"}
    provider = gateway.answers["GET", f"{ADMIN}/providers"]["items"][0]
    listed = {**provider, "credentials": [resting, {**refused, "reason": "the vendor refuses it (401)"}]}
    gateway.answers["GET", f"{ADMIN}/providers"] = {"items": [listed], "next_cursor": None}
    gateway.answers["GET", f"{ADMIN}/providers/{PROVIDER}"] = listed
    said = " ".join(run("providers", "list").out.split())
    assert "deadbeef (cooling), spare (rejected)" in said
    said = " ".join(run("providers", "show", "openai").out.split())
    assert "deadbeef (cooling) until 2026-01-01T00:00:00Z: the vendor limits its rate" in said
    assert "spare (rejected): the vendor refuses it (401)" in said


def test_a_router_is_shown_with_what_narrows_it_and_what_of_its_fallback_is_its_own(run: Run, gateway: Any):
    del gateway
    shown = " ".join(run("routers", "show", "minimum-cost").out.split())
    assert "only context from 8000; price to 2.5; capabilities tools affinity yes on_cut buffer" in shown
    assert "fallback first_token_ms 500 version 2" in shown
