"""How much a model shall think, in words and in tokens: one table for both directions."""

from collections.abc import Mapping
from typing import Final

from services.providers.domain.canonical import Effort

BUDGETS: Final[Mapping[Effort, int]] = {
    "none": 0,
    "minimal": 512,
    "low": 1_024,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 32_768,
}
"""Tokens of thought for each word but ``max``, which is all that the model may.

Low to high are what Google's and OpenRouter's bridges between the two take: https://ai.google.dev/gemini-api/docs/openai#thinking
"""


def budget_of(effort: Effort, most: int | None) -> int:
    """Return the tokens that a word stands for, at most ``most``; ``max`` without a limit is that of ``xhigh``."""
    asked = BUDGETS.get(effort)
    if asked is None:
        return most if most is not None else BUDGETS["xhigh"]
    return asked if most is None else min(asked, most)


def effort_of(budget: int) -> Effort:
    """Return the word that is nearest to a number of tokens; only zero is ``none``, above the table is ``xhigh``."""
    if budget <= 0:
        return "none"
    words: list[Effort] = [word for word in BUDGETS if word != "none"]
    return min(words, key=lambda word: abs(BUDGETS[word] - budget))
