"""The way from a client's dialect to a vendor's: what passes through, what is translated, what is refused."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from services.providers.domain.canonical import Parameter
from services.providers.domain.dialect import Outgoing
from services.providers.domain.registry import CLIENTS, SPEECHES, VENDORS
from services.providers.domain.translate import translated
from shared.contracts.frames import Completion, Fail, FailureKind

HI = [{"role": "user", "content": "hi"}]


def asked(vendor: str, dialect: str = "openai_chat", *, drop: bool = False, model: str = "m", **body: Any) -> Any:
    return translated(completion(dialect, {"model": "auto", **body}, drop=drop, model=model), VENDORS[vendor], 0)


def completion(dialect: str, body: dict[str, Any], *, drop: bool = False, model: str = "m") -> Completion:
    return Completion(
        attempt_id="a",
        request_id="r",
        provider_id="p",
        native_id=model,
        model="p/m",
        dialect=dialect,
        body=body,
        drop_params=drop,
    )


def test_every_vendor_is_asked_in_dialects_that_are_known():
    for vendor in VENDORS.values():
        assert vendor.speech in SPEECHES, vendor.slug


@pytest.mark.parametrize("vendor", [vendor.slug for vendor in VENDORS.values() if "openai_chat" in vendor.speaks])
def test_the_same_dialect_passes_through_word_for_word(vendor):
    out = asked(vendor, messages=HI, brand_new=1, seed=7)
    assert isinstance(out, Outgoing)
    assert out.body == {"model": "m", "messages": HI, "brand_new": 1, "seed": 7}


def test_what_passes_through_loses_what_the_vendor_lacks_where_the_client_lets_it_go():
    out = asked("mistral", messages=HI, user="u", logprobs=True, seed=1, brand_new=1, drop=True)
    assert out.body == {"model": "m", "messages": HI, "seed": 1, "brand_new": 1}
    assert sorted(out.dropped) == ["logprobs", "user"]
    assert asked("mistral", messages=HI, user="u").dropped == ()


@pytest.mark.parametrize(
    ("said", "dropped"),
    [
        ({"reasoning": {"effort": "low"}}, ("reasoning",)),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "low"}, ("reasoning_effort", "thinking")),
        ({"safety_identifier": "u"}, ("safety_identifier",)),
        ({"user": "u", "safety_identifier": "u"}, ("user", "safety_identifier")),
    ],
)
def test_what_passes_through_loses_a_parameter_by_whatever_name_it_is_said(said, dropped):
    lacking = replace(VENDORS["mistral"], lacks=frozenset({Parameter.REASONING, Parameter.USER}))
    request = completion("openai_chat", {"model": "auto", "messages": HI, **said}, drop=True)
    out = translated(request, lacking, 0)
    assert isinstance(out, Outgoing)
    assert out.body == {"model": "m", "messages": HI}
    assert out.dropped == dropped


@pytest.mark.parametrize(
    ("vendor", "dialect", "said", "param"),
    [
        ("gemini", "openai_chat", {"safety_identifier": "u", "logit_bias": {"1": 1}}, "logit_bias"),
        ("ollama", "openai_chat", {"functions": [{"name": "f"}], "function_call": {"name": "f"}}, "function_call"),
        ("ollama", "openai_responses", {"input": "hi", "parallel_tool_calls": False}, "parallel_tool_calls"),
        ("ollama", "anthropic_messages", {"max_tokens": 5, "tool_choice": {"type": "any"}}, "tool_choice"),
        ("cohere", "ollama_chat", {"logprobs": True, "top_logprobs": 3}, "logprobs"),
        ("anthropic", "ollama_generate", {"prompt": "hi", "options": {"seed": 1}}, "options.seed"),
        ("anthropic", "openai_completions", {"prompt": "hi", "logprobs": 2}, "logprobs"),
    ],
)
def test_a_refusal_names_the_clients_own_parameter(vendor, dialect, said, param):
    talk = {} if {"prompt", "input"} & said.keys() else {"messages": HI}
    tools = [{"type": "function", "function": {"name": "f"}, "name": "f", "input_schema": {"type": "object"}}]
    if "tool_choice" in said or "parallel_tool_calls" in said:
        said = {**said, "tools": tools}
    found = asked(vendor, dialect, **talk, **said)
    assert isinstance(found, Fail)
    assert (found.kind, found.param) == (FailureKind.UNSUPPORTED, param)


def test_a_tier_that_a_vendor_has_no_word_for_is_named_as_dropped():
    out = asked("anthropic", messages=HI, service_tier="flex")
    assert "service_tier" not in out.body
    assert out.dropped == ("service_tier",)
    kept = asked("anthropic", messages=HI, service_tier="priority")
    assert (kept.body["service_tier"], kept.dropped) == ("auto", ())


@pytest.mark.parametrize("vendor", ["openai", "mistral", "cohere", "ollama", "gemini"])
@pytest.mark.parametrize(("words", "told"), [("no such city", "Error: no such city"), ("Error 7", "Error 7")])
def test_a_tool_that_failed_says_so_to_every_vendor(vendor, words, told):
    called = {"type": "tool_use", "id": "call_1_a", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "call_1_a", "content": words, "is_error": True}
    messages = [*HI, {"role": "assistant", "content": [called]}, {"role": "user", "content": [result]}]
    out = asked(vendor, "anthropic_messages", messages=messages, max_tokens=5)
    shown = msgspec.json.encode(out.body).decode()
    assert (told if vendor != "gemini" else f'"error":"{words}"') in shown


def test_what_is_not_understood_passes_through_as_it_is():
    out = asked("mistral", messages="odd", user="u", drop=True)
    assert out.body == {"model": "m", "messages": "odd", "user": "u"}


def test_completions_pass_through_for_the_models_that_have_them_alone():
    assert asked("openai", "openai_completions", model="gpt-3.5-turbo-instruct", prompt="a").path == "/completions"
    out = asked("openai", "openai_completions", model="gpt-4o", prompt="a", max_tokens=5)
    assert out.path == "/chat/completions"
    assert out.body == {"model": "gpt-4o", "messages": [{"role": "user", "content": "a"}], "max_completion_tokens": 5}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": "a", "echo": True}, "echo"),
        ({"prompt": "a", "best_of": 2}, "best_of"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "max_tokens": "many"}, "max_tokens"),
    ],
)
def test_a_completion_that_no_chat_can_be_is_refused_by_name(body, param):
    found = asked("openai", "openai_completions", model="gpt-4o", **body)
    assert isinstance(found, Fail)
    assert (found.kind, found.param) == (FailureKind.UNSUPPORTED, param)


def test_an_answer_is_only_continued_by_a_vendor_that_does():
    messages = [*HI, {"role": "assistant", "content": "Sure,"}]
    assert asked("ollama", messages=messages).body["messages"][-1]["content"] == "Sure,"
    found = asked("gemini", messages=messages)
    assert isinstance(found, Fail)
    assert found.param == "messages"


def test_a_prefix_is_marked_where_the_vendor_wants_it():
    if "ollama_chat" not in CLIENTS:
        pytest.skip("no client of another dialect")
    out = asked("mistral", "ollama_chat", messages=[*HI, {"role": "assistant", "content": "Sure,"}])
    assert out.body["messages"][-1] == {"role": "assistant", "content": "Sure,", "prefix": True}


def test_a_vendor_without_vectors_refuses_them():
    found = asked("groq", "openai_embeddings", input="a")
    assert isinstance(found, Fail)
    assert found.param == "model"


def test_a_dialect_that_nobody_knows_is_refused():
    assert asked("openai", "klingon").kind is FailureKind.UNSUPPORTED
