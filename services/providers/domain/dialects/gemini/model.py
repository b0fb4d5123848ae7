"""What a Gemini model's name tells of how it is asked.

https://ai.google.dev/gemini-api/docs/thinking, https://ai.google.dev/gemini-api/docs/gemini-3
"""

import re
from typing import Final, NamedTuple

_VERSION: Final = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_NEWEST: Final[tuple[int, int]] = (3, 0)


class Ways(NamedTuple):
    """How one model is asked to think, and what it must be given back."""

    thinks: bool
    """Whether it takes ``thinkingConfig``."""
    levels: bool
    """Whether thinking is asked for in levels; else in tokens."""
    least: int
    """The fewest tokens of thought, where it thinks."""
    most: int
    """The most tokens of thought."""
    rests: bool
    """Whether thinking can be switched off, or down to ``minimal``."""
    proves: bool
    """Whether a call in the conversation must carry a thought signature."""
    media_in_results: bool
    """Whether the result of a function may hold images and files."""
    instructed: bool
    """Whether it takes instructions apart from the conversation: Gemma 3 takes none."""


def ways_of(native_id: str) -> Ways:
    """Return how the model is asked; names without a version (``gemini-flash-latest``) are taken for the newest."""
    name = native_id.lower().rpartition("/")[2]
    version = _version(name)
    gemini = name.startswith("gemini")
    third = gemini and version >= _NEWEST
    pro = "-pro" in name
    return Ways(
        thinks=third or (gemini and version >= (2, 5) and "image" not in name),
        levels=third,
        least=128 if pro else 512 if "-lite" in name else 1,
        most=32_768 if pro else 24_576,
        rests=not pro,
        proves=third,
        media_in_results=third,
        instructed=not name.startswith("gemma-3"),
    )


def _version(name: str) -> tuple[int, int]:
    found = _VERSION.match(name)
    return (int(found[1]), int(found[2] or 0)) if found else _NEWEST
