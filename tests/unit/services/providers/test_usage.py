"""Tokens in disjoint classes, and lies by rule."""

import pytest

from services.providers.domain.usage import estimated_tokens, input_size, ollama_usage, openai_usage, settled
from shared.contracts.usage import Tokens


def usage(**fields):
    return {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, **fields}


def test_cached_and_written_tokens_are_taken_out_of_the_input():
    said = openai_usage(usage(prompt_tokens_details={"cached_tokens": 60, "cache_write_tokens": 10}))
    assert said == Tokens(input=30, cached=60, cache_write=10, output=20, source="provider")


def test_deepseek_counts_cache_hits_at_the_top():
    said = openai_usage(usage(prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=36))
    assert said is not None
    assert (said.input, said.cached) == (36, 64)


def test_reasoning_is_a_part_of_the_output():
    said = openai_usage(usage(completion_tokens_details={"reasoning_tokens": 15}))
    assert said is not None
    assert (said.output, said.reasoning) == (20, 15)


def test_reasoning_that_only_the_total_holds_is_added():
    said = openai_usage(usage(total_tokens=150, completion_tokens_details={"reasoning_tokens": 30}))
    assert said is not None
    assert (said.output, said.reasoning) == (50, 30)


def test_an_explicit_zero_is_a_count():
    assert openai_usage({"prompt_tokens": 0, "completion_tokens": 0}) == Tokens(source="provider")


@pytest.mark.parametrize("lie", [-1, None, "12", 10**12, 1.5, True, [1], {}])
def test_what_cannot_be_a_count_counts_as_not_said(lie):
    assert openai_usage({"prompt_tokens": lie, "completion_tokens": lie}) is None
    said = openai_usage({"prompt_tokens": 7, "completion_tokens": lie})
    assert said is not None
    assert (said.input, said.source) == (7, "partial")


def test_parts_larger_than_the_whole_are_cut_to_it():
    said = openai_usage(
        usage(
            prompt_tokens_details={"cached_tokens": 10**6, "cache_write_tokens": 5},
            completion_tokens_details={"reasoning_tokens": 10**6},
        )
    )
    assert said == Tokens(input=0, cached=100, output=20, reasoning=20, source="provider")


@pytest.mark.parametrize("block", [None, "12", [], 7, {}])
def test_a_block_that_is_none_says_nothing(block):
    assert openai_usage(block) is None


def test_ollama_counts_prompt_and_answer():
    assert ollama_usage(26, 259) == Tokens(input=26, output=259, source="provider")
    assert ollama_usage(None, None) is None


def test_what_nobody_counted_is_estimated_from_the_text():
    body = {"messages": [{"role": "user", "content": "a" * 400}]}
    assert settled(None, body, 80, whole=True) == Tokens(input=101, output=20, source="estimated")
    assert settled(None, body, 80, whole=False).source == "partial"


def test_half_a_count_is_completed_by_an_estimate():
    said = openai_usage({"prompt_tokens": 7})
    assert settled(said, {}, 80, whole=True) == Tokens(input=7, output=20, source="estimated")


def test_images_are_not_text():
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    assert input_size({"messages": [{"role": "user", "content": [part]}]}) < 20
    assert estimated_tokens(0) == 0
