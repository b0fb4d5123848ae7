import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.system import until

Run = Callable[..., Any]

ADMIN = "/admin/v1"
KEY = "0198f2b0-0000-7000-8000-000000000001"
REQUEST = "0198f2b0-0000-7000-8000-000000000004"
CHAT = "/v1/chat/completions"


def test_the_answer_is_printed_and_then_where_it_went_and_what_it_cost(run: Run, gateway: Any):
    result = run("chat", "openai/gpt-4o-mini", "Say hello")
    assert result.code == 0
    text, summary, _ = result.out.split("\n")
    assert text == "Hello world"
    assert summary.startswith("openai/gpt-4o-mini · openai · 12 in, 3 cached, 34 out · $0.00002 · ")
    sent = gateway.asked("POST", CHAT)
    assert sent.body["model"] == "openai/gpt-4o-mini"
    assert sent.body["messages"] == [{"role": "user", "content": "Say hello"}]
    assert sent.body["stream_options"] == {"include_usage": True}


def test_without_a_key_a_short_lived_one_is_made_and_deleted(run: Run, gateway: Any):
    assert run("chat", "Hello").code == 0
    made = gateway.asked("POST", f"{ADMIN}/keys").body
    assert (made["name"], made["allowed"]) == ("cli", ["*"])
    assert made["expires_at"]
    assert gateway.asked("POST", CHAT).headers["authorization"] == "Bearer lr-secret-value-of-the-key"
    assert gateway.asked("POST", CHAT).body["model"] == "auto"
    gateway.asked("DELETE", f"{ADMIN}/keys/{KEY}")


def test_the_short_lived_key_is_deleted_also_after_a_failure(run: Run, gateway: Any):
    gateway.answers[("POST", CHAT)] = (503, {"error": {"message": "no candidate", "code": "no_candidate"}})
    result = run("chat", "Hello")
    assert (result.code, result.err) == (1, "localrouter: no candidate\n")
    gateway.asked("DELETE", f"{ADMIN}/keys/{KEY}")


def test_another_chat_at_the_same_time_has_a_key_of_another_name(run: Run, gateway: Any):
    def first_taken(seen: Any) -> Any:
        if seen.body["name"] == "cli":
            return (409, {"status": 409, "code": "name_taken", "detail": "a key named 'cli' exists already"})
        return {"id": KEY, "key": "lr-second"}

    gateway.answers[("POST", f"{ADMIN}/keys")] = first_taken
    assert run("chat", "Hello").code == 0
    assert gateway.asked("POST", CHAT).headers["authorization"] == "Bearer lr-second"


def test_an_own_key_is_used_and_no_other_made(run: Run, gateway: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCALROUTER_API_KEY", "lr-own")
    monkeypatch.delenv("LOCALROUTER_ADMIN_TOKEN")
    result = run("chat", "Hello")
    assert result.code == 0
    assert "15 in, 34 out" in result.out
    assert [(seen.method, seen.path) for seen in gateway.seen] == [("POST", CHAT)]


def test_the_record_is_asked_for_until_the_ledger_has_it(run: Run, gateway: Any):
    path = ("GET", f"{ADMIN}/requests/{REQUEST}")
    record = gateway.answers[path]
    asked: list[Any] = []

    def later(seen: Any) -> Any:
        asked.append(seen)
        return record if len(asked) > 2 else (404, {"status": 404, "code": "request_not_found", "detail": "not yet"})

    gateway.answers[path] = later
    assert "$0.00002" in run("chat", "Hello").out
    assert len(asked) == 3


def test_json_is_the_whole_answer(run: Run, gateway: Any):
    answer = {"id": "x", "choices": [{"message": {"content": "Hello"}}]}
    gateway.answers[("POST", CHAT)] = answer
    result = run("chat", "Hello", "--json")
    assert result.out == json.dumps(answer) + "\n"
    assert "stream" not in gateway.asked("POST", CHAT).body


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (b'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n', "the answer was cut off"),
        (b'data: {"error":{"message":"upstream went away"}}\n\n', "upstream went away"),
    ],
)
def test_an_answer_that_breaks_off_is_a_failure(run: Run, gateway: Any, stream: bytes, sentence: str):
    gateway.answers[("POST", CHAT)] = stream
    result = run("chat", "Hello")
    assert (result.code, result.err) == (1, f"localrouter: {sentence}\n")


@pytest.mark.parametrize(("status", "code"), [(401, 4), (404, 4), (502, 1)])
def test_refusals_of_the_data_plane_are_told_apart(run: Run, gateway: Any, status: int, code: int):
    gateway.answers[("POST", CHAT)] = (status, {"error": {"message": "no", "code": "x"}})
    assert run("chat", "Hello").code == code


def test_a_models_words_steer_no_terminal(run: Run, gateway: Any):
    text = json.dumps({"choices": [{"delta": {"content": "a\x1b[31mb\nc"}}]}).encode()
    gateway.answers[("POST", CHAT)] = b"data: " + text + b"\n\ndata: [DONE]\n\n"
    assert "\x1b" not in run("chat", "Hello").out


def test_more_than_one_text_is_wrong_usage(run: Run):
    assert run("chat", "auto", "one", "two").code == 2
    assert run("chat").code == 2


def test_an_interrupted_chat_leaves_no_key_behind(run: Run, gateway: Any):
    def interrupt(_: Any) -> bytes:
        os.kill(os.getpid(), signal.SIGINT)
        # an answer that ended meanwhile would be another story
        until(lambda: any(seen.method == "DELETE" for seen in gateway.seen), "the key is gone", 5)
        return b'data: {"choices":[]}\n\n'

    gateway.answers[("POST", CHAT)] = interrupt
    result = run("chat", "Hello")
    assert result.code == 130
    gateway.asked("DELETE", f"{ADMIN}/keys/{KEY}")
