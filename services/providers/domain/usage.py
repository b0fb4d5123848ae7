"""How tokens are counted: what a vendor says in disjoint classes, where it says none an estimate, and lies by rule.

A count is an integer from 0 to 10^9; anything else (negative, null, text, a fraction, larger) counts as not said.
Later counts replace earlier ones, an explicit zero is a count.
"""

from typing import Any, Final, cast

import msgspec

from shared.contracts.usage import Tokens

_MOST: Final = 1_000_000_000
_BYTES_PER_TOKEN: Final = 4
_SUMS: Final = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
"""All that a usage block of OpenAI's holds where nothing is told apart."""
_GIVEN: Final = ("messages", "prompt", "input", "instructions", "system", "contents", "tools", "functions")
"""What a model reads of a request, in any client's dialect."""


def count(value: object) -> int | None:
    """Return a vendor's number as a count of tokens, or None for one that cannot be one."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST else None


def openai_usage(raw: object) -> Tokens | None:
    """Read the usage block of OpenAI's chat and completions, also as DeepSeek, xAI and OpenRouter extend it.

    https://platform.openai.com/docs/api-reference/chat/object: prompt tokens include the cached ones, completion
    tokens the reasoning. DeepSeek counts ``prompt_cache_hit_tokens``; xAI adds reasoning to the total only. None
    where neither prompt nor completion is a count.
    """
    if not isinstance(raw, dict):
        return None
    block = cast("dict[str, Any]", raw)
    prompt, completion = count(block.get("prompt_tokens")), count(block.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    source = "provider" if prompt is not None and completion is not None else "partial"
    prompt, output = prompt or 0, completion or 0
    if block.keys() <= _SUMS:
        return Tokens(input=prompt, output=output, source=source)
    given = _details(block, "prompt_tokens_details")
    made = _details(block, "completion_tokens_details")
    cached = count(given.get("cached_tokens")) or _cached_elsewhere(block)
    written = count(given.get("cache_write_tokens")) or 0
    reasoning = count(made.get("reasoning_tokens")) or 0
    if reasoning and count(block.get("total_tokens")) == prompt + output + reasoning:
        output += reasoning
    cached = min(cached, prompt)
    written = min(written, prompt - cached)
    return Tokens(
        input=prompt - cached - written,
        cached=cached,
        cache_write=written,
        output=output,
        reasoning=min(reasoning, output),
        audio_input=min(count(given.get("audio_tokens")) or 0, prompt - cached - written),
        audio_output=min(count(made.get("audio_tokens")) or 0, output),
        source=source,
    )


def _cached_elsewhere(block: dict[str, Any]) -> int:
    """Return the cached tokens where DeepSeek, Moonshot and Together, or Mistral count them."""
    for name in ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"):
        if found := count(block.get(name)):
            return found
    return 0


def openai_usage_block(tokens: Tokens) -> dict[str, Any]:
    """Return tokens as OpenAI's chat and completions count them: the other way of ``openai_usage``."""
    prompt = tokens.input + tokens.cached + tokens.cache_write
    given = {"cached_tokens": tokens.cached, "audio_tokens": tokens.audio_input}
    if tokens.cache_write:
        given["cache_write_tokens"] = tokens.cache_write
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens.output,
        "total_tokens": prompt + tokens.output,
        "prompt_tokens_details": given,
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning, "audio_tokens": tokens.audio_output},
    }


def _details(block: dict[str, Any], name: str) -> dict[str, Any]:
    found = block.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def ollama_usage(prompt: object, output: object) -> Tokens | None:
    """Read ``prompt_eval_count`` and ``eval_count`` of Ollama's last chunk; a prompt served from cache is not said."""
    given, made = count(prompt), count(output)
    if given is None and made is None:
        return None
    source = "provider" if given is not None and made is not None else "partial"
    return Tokens(input=given or 0, output=made or 0, source=source)


def estimated_tokens(size: int) -> int:
    """Return how many tokens ``size`` bytes of text are, about: one for every four bytes."""
    return -(-size // _BYTES_PER_TOKEN)


def text_size(value: object) -> int:
    """Return the bytes of text in a request's body, bytes in base64 and numbers left out."""
    if isinstance(value, str):
        return 0 if value.startswith("data:") else len(value)
    if isinstance(value, dict):
        if cast("dict[str, object]", value).get("type") == "base64":
            return 0
        return sum(text_size(item) for item in cast("dict[str, object]", value).values())
    if isinstance(value, list):
        return sum(text_size(item) for item in cast("list[object]", value))
    return 0


def input_size(body: dict[str, Any]) -> int:
    """Return the bytes of text that a request gives the model to read."""
    return sum(text_size(body.get(name)) for name in _GIVEN)


def settled(said: Tokens | None, body: dict[str, Any], output_size: int, *, whole: bool) -> Tokens:
    """Return the tokens of an answer: as the vendor counted, where it did not, estimated from the text.

    ``output_size``: bytes of text received; ``whole``: whether the answer ended properly. What was cut before the
    vendor counted is ``partial``: at least what was received.
    """
    if said is not None and said.source == "provider":
        return said
    if said is not None:
        return msgspec.structs.replace(
            said,
            input=said.input or estimated_tokens(input_size(body)),
            output=said.output or estimated_tokens(output_size),
            source="estimated",
        )
    return Tokens(
        input=estimated_tokens(input_size(body)),
        output=estimated_tokens(output_size),
        source="estimated" if whole else "partial",
    )
