"""The way from a client's dialect to a vendor's: what passes through, what is translated, what is refused."""

from typing import Any

import pytest

from services.providers.domain.dialect import Outgoing
from services.providers.domain.registry import CLIENTS, SPEECHES, VENDORS
from services.providers.domain.translate import translated
from shared.contracts.frames import Completion, Fail, FailureKind

HI = [{"role": "user", "content": "hi"}]


def asked(vendor: str, dialect: str = "openai_chat", *, drop: bool = False, model: str = "m", **body: Any) -> Any:
    request = Completion(
        attempt_id="a",
        request_id="r",
        provider_id="p",
        native_id=model,
        model="p/m",
        dialect=dialect,
        body={"model": "auto", **body},
        drop_params=drop,
    )
    return translated(request, VENDORS[vendor], 0)


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
