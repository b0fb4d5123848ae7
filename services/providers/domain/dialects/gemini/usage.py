"""Gemini's counts of tokens in disjoint classes. https://ai.google.dev/api/generate-content#UsageMetadata"""

from typing import Any, cast

from services.providers.domain.usage import count
from shared.contracts.usage import Tokens


def gemini_usage(raw: object, *, ended: bool) -> Tokens | None:
    """Read ``usageMetadata``; None where it counts nothing.

    The prompt includes what was cached; what tools of the vendor's put in is counted besides, and so are thoughts.
    A count of zero is left out, so before the answer ended one that is not there may yet come: ``partial``.
    """
    if not isinstance(raw, dict):
        return None
    block = cast("dict[str, Any]", raw)
    prompt, made = count(block.get("promptTokenCount")), count(block.get("candidatesTokenCount"))
    thoughts = count(block.get("thoughtsTokenCount")) or 0
    if prompt is None and made is None and not thoughts:
        return None
    given = (prompt or 0) + (count(block.get("toolUsePromptTokenCount")) or 0)
    cached = min(count(block.get("cachedContentTokenCount")) or 0, given)
    heard = _spoken(block, "promptTokensDetails") - _spoken(block, "cacheTokensDetails")
    output = (made or 0) + thoughts
    return Tokens(
        input=given - cached,
        cached=cached,
        audio_input=min(max(heard, 0), given - cached),
        output=output,
        reasoning=thoughts,
        audio_output=min(_spoken(block, "candidatesTokensDetails"), output),
        source="provider" if prompt is not None and (made is not None or ended) else "partial",
    )


def _spoken(block: dict[str, Any], name: str) -> int:
    """Return the tokens of sound in a list of counts by modality."""
    rows = block.get(name)
    if not isinstance(rows, list):
        return 0
    return sum(
        count(cast("dict[str, Any]", row).get("tokenCount")) or 0
        for row in cast("list[object]", rows)
        if isinstance(row, dict) and cast("dict[str, Any]", row).get("modality") == "AUDIO"
    )
