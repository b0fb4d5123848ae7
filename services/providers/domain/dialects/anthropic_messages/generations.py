"""What each generation of Claude takes, read off a model's name, as Anthropic's list does not say all of it.

https://platform.claude.com/docs/en/about-claude/models/overview, .../build-with-claude/{effort,adaptive-thinking,
structured-outputs}
"""

import re
from typing import Final

from services.providers.domain.canonical import Parameter

_LATER: Final = re.compile(r"claude-(?:[a-z]+-)+(\d{1,2})(?:[-.](\d{1,2}))?(?![\d.])")
_EARLY: Final = re.compile(r"claude-(\d)(?:[-.](\d{1,2}))?(?![\d.])")
_NEWEST: Final = (5, 0)
"""A Claude without a number (``claude-mythos-preview``)."""
_FOREIGN: Final = (4, 5)
"""Models of other vendors that speak this dialect: asked as what most of them copy."""
_SAMPLING: Final = frozenset({Parameter.TEMPERATURE, Parameter.TOP_P, Parameter.TOP_K})


def generation(native_id: str) -> tuple[int, int]:
    """Return the generation that a name tells, before or after the word: ``claude-3-5-haiku``, ``claude-opus-4-6``."""
    name = native_id.lower()
    found = _LATER.search(name) or _EARLY.search(name)
    if found is None:
        return _NEWEST if "claude" in name else _FOREIGN
    return int(found[1]), int(found[2] or 0)


def lacks(native_id: str) -> frozenset[Parameter]:
    """Return the parameters that a model of this dialect does not take.

    Thinking began with 3.7, schemas with Opus 4.1 and the models of 4.5; sampling ended with 4.7.
    """
    born = generation(native_id)
    found: set[Parameter] = set()
    if born < (3, 7):
        found.add(Parameter.REASONING)
    if born < (4, 1):
        found.add(Parameter.FORMAT_SCHEMA)
    if born >= (4, 7):
        found |= _SAMPLING
    return frozenset(found)


def adapts(native_id: str) -> bool:
    """Whether a model decides itself how much it thinks, led by an effort."""
    return generation(native_id) >= (4, 6)


def takes_budget(native_id: str) -> bool:
    """Whether a model takes a number of tokens to think."""
    return (3, 7) <= generation(native_id) < (4, 7)


def efforts(native_id: str) -> tuple[str, ...]:
    """Return the efforts that an adaptive model takes, least first."""
    return (
        ("low", "medium", "high", "xhigh", "max") if not takes_budget(native_id) else ("low", "medium", "high", "max")
    )


def thinks_unasked(native_id: str) -> bool:
    """Whether a model thinks where the request does not say."""
    return generation(native_id) >= (5, 0)
