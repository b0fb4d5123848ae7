"""Reading a request's needs off its body."""

from typing import Any

import pytest

from shared.contracts.usage import Needs
from shared.routing.needs import MEDIA_TOKENS, needs_of


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


def test_a_plain_chat_needs_chat_and_a_token_for_four_bytes():
    assert needs_of(user("hello")) == Needs(capabilities=("chat",), input_tokens=2)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_clients_own_output_limit_counts(name: str):
    assert needs_of(user("hi") | {name: 100}).output_tokens == 100


@pytest.mark.parametrize("limit", ["many", 0, -1, True, None, 1.5])
def test_an_output_limit_that_is_none_is_not_read(limit: Any):
    assert needs_of(user("hi") | {"max_tokens": limit}).output_tokens is None


@pytest.mark.parametrize(
    ("extra", "capability"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "tools"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "s"}}}, "json_schema"),
    ],
)
def test_a_field_that_not_every_model_knows_is_a_need(extra: dict[str, Any], capability: str):
    assert needs_of(user("hi") | extra).capabilities == ("chat", capability)


def test_empty_tools_and_plain_json_mode_need_nothing():
    body = user("hi") | {"tools": [], "response_format": {"type": "json_object"}}
    assert needs_of(body).capabilities == ("chat",)


def test_the_text_of_tools_and_tool_calls_is_counted():
    tools = needs_of(user("") | {"tools": [{"type": "function", "function": {"name": "x" * 400}}]})
    calls = needs_of({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "x" * 400}}]}]})
    assert tools.input_tokens > 100
    assert calls.input_tokens > 100


def test_images_and_sounds_are_needs_and_their_bytes_are_not_counted():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 100_000, "format": "wav"}}
    needs = needs_of(user([{"type": "text", "text": "look"}, picture, picture, sound]))
    assert needs == Needs(capabilities=("chat", "vision", "audio"), input_tokens=1 + 3 * MEDIA_TOKENS)


def test_text_beyond_ascii_is_counted_in_bytes():
    assert needs_of(user("日本語です")).input_tokens == 4


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [("abcdefgh", 2), (["abcd", "efgh"], 2), ([1, 2, 3], 3), ([[1, 2], [3]], 3), ([], 0), (None, 0), (7, 0)],
)
def test_a_prompt_needs_completion(prompt: Any, tokens: int):
    assert needs_of({"prompt": prompt}) == Needs(capabilities=("completion",), input_tokens=tokens)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": None},
        {"messages": "hi"},
        {"messages": [None, 7, "hi", {}]},
        {"messages": [{"content": None}, {"content": 7}, {"content": [None, 7, {}]}]},
        {"messages": [], "response_format": "json"},
    ],
)
def test_a_body_of_the_wrong_shape_is_read_as_far_as_it_goes(body: dict[str, Any]):
    assert needs_of(body) == Needs(capabilities=("chat",))


def test_half_of_a_surrogate_pair_does_not_stop_the_count():
    assert needs_of(user("\ud800")).input_tokens == 1
