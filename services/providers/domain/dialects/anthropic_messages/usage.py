"""How Anthropic counts: what is read from the cache and written to it lies beside the input, not in it.

https://platform.claude.com/docs/en/build-with-claude/prompt-caching#tracking-cache-performance
"""

from typing import Any, cast

from services.providers.domain.canonical import Json
from services.providers.domain.usage import count
from shared.contracts.usage import Tokens


def usage_of(raw: object) -> Tokens | None:
    """Return the tokens of a ``usage`` block; None where neither input nor output is a count."""
    if not isinstance(raw, dict):
        return None
    block = cast("dict[str, Any]", raw)
    given, made = count(block.get("input_tokens")), count(block.get("output_tokens"))
    if given is None and made is None:
        return None
    kept = block.get("cache_creation")
    times = cast("Json", kept) if isinstance(kept, dict) else {}
    hour, minutes = count(times.get("ephemeral_1h_input_tokens")) or 0, count(times.get("ephemeral_5m_input_tokens"))
    written = count(block.get("cache_creation_input_tokens"))
    if written is None:
        written = hour + (minutes or 0)
    details = block.get("output_tokens_details")
    thought = count(cast("Json", details).get("thinking_tokens")) if isinstance(details, dict) else None
    output = made or 0
    return Tokens(
        input=given or 0,
        cached=count(block.get("cache_read_input_tokens")) or 0,
        cache_write=written,
        cache_write_1h=min(hour, written),
        output=output,
        reasoning=min(thought or 0, output),
        source="provider" if given is not None and made is not None else "partial",
    )


def usage_block(tokens: Tokens) -> Json:
    """Return tokens as Anthropic counts them: the other way of ``usage_of``."""
    block: Json = {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.output,
    }
    if tokens.cache_write:
        block["cache_creation"] = {
            "ephemeral_5m_input_tokens": tokens.cache_write - tokens.cache_write_1h,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        }
    if tokens.reasoning:
        block["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return block
