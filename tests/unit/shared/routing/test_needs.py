"""Reading a request's needs off its body."""

from typing import Any

import pytest

from shared.contracts.usage import Needs
from shared.routing.needs import MEDIA_TOKENS
from shared.routing.needs import needs_of as needs_in


def needs_of(body: dict[str, Any], dialect: str = "openai_chat") -> Needs:
    return needs_in(body, dialect)


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
    assert needs_of({"prompt": prompt}, "openai_completions") == Needs(
        capabilities=("completion",), input_tokens=tokens
    )


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


PNG = "A" * 100_000
TOOL = {"name": "f", "description": "x" * 400}


@pytest.mark.parametrize(
    ("dialect", "body", "capabilities", "least", "most"),
    [
        ("openai_responses", {"input": "a" * 40, "instructions": "b" * 40}, ("chat",), 20, 20),
        (
            "openai_responses",
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "a" * 40}]},
                    {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": PNG}]},
                    {"type": "function_call", "name": "f", "arguments": "b" * 400},
                    {"type": "function_call_output", "call_id": "c", "output": "c" * 400},
                    {"type": "reasoning", "id": "rs_1", "summary": []},
                ],
                "tools": [{"type": "function", **TOOL}],
                "text": {"format": {"type": "json_schema", "name": "s", "schema": {}}},
                "max_output_tokens": 7,
            },
            ("chat", "vision", "tools", "json_schema"),
            10 + MEDIA_TOKENS + 300,
            10 + MEDIA_TOKENS + 350,
        ),
        (
            "anthropic_messages",
            {
                "system": [{"type": "text", "text": "a" * 40}],
                "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": PNG}}]},
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "input": {"a": "b" * 400}}]},
                    {
                        "role": "user",
                        "content": [{"type": "tool_result", "content": [{"type": "text", "text": "c" * 400}]}],
                    },
                ],
                "tools": [TOOL],
                "output_config": {"format": {"type": "json_schema", "schema": {}}},
                "max_tokens": 7,
            },
            ("chat", "vision", "tools", "json_schema"),
            10 + MEDIA_TOKENS + 300,
            10 + MEDIA_TOKENS + 350,
        ),
        (
            "ollama_chat",
            {
                "messages": [
                    {"role": "user", "content": "a" * 40, "images": [PNG]},
                    {"role": "assistant", "content": "", "tool_calls": [{"function": {"arguments": {"a": "b" * 400}}}]},
                ],
                "tools": [{"type": "function", "function": TOOL}],
                "format": {"type": "object"},
                "options": {"num_predict": 7},
            },
            ("chat", "vision", "tools", "json_schema"),
            10 + MEDIA_TOKENS + 200,
            10 + MEDIA_TOKENS + 250,
        ),
        (
            "ollama_generate",
            {"prompt": "a" * 40, "system": "b" * 40, "images": [PNG, PNG], "options": {"num_predict": 7}},
            ("completion", "vision"),
            20 + 2 * MEDIA_TOKENS,
            20 + 2 * MEDIA_TOKENS,
        ),
        ("openai_embeddings", {"input": ["a" * 40, "b" * 40]}, ("embedding",), 20, 20),
        ("openai_embeddings", {"input": [1, 2, 3]}, ("embedding",), 3, 3),
        ("ollama_embed", {"input": "a" * 40}, ("embedding",), 10, 10),
    ],
)
def test_every_dialect_says_its_needs_in_its_own_words(
    dialect: str, body: dict[str, Any], capabilities: tuple[str, ...], least: int, most: int
):
    needs = needs_of(body, dialect)
    assert needs.capabilities == capabilities
    assert least <= needs.input_tokens <= most
    limited = any(name in str(body) for name in ("max_tokens", "max_output_tokens", "num_predict"))
    assert needs.output_tokens == (7 if limited else None)


def test_a_prompt_that_is_only_counted_may_be_as_long_as_it_likes():
    body = {"system": "a" * 4_000, "messages": [{"role": "user", "content": "b" * 4_000}], "tools": [TOOL]}
    assert needs_of(body, "anthropic_count_tokens") == Needs(capabilities=("chat", "tools"))
