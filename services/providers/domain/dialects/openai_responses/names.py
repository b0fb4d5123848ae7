"""What every file of the dialect calls things: its name, and the ids of the items that are made here."""

from typing import Final

DIALECT: Final = "openai_responses"
MADE: Final = "lr"
"""What the ids of items made here go on with after their kind (``rs_lr…``): no vendor knows them."""
THOUGHT: Final = "rs_"
CARRIES_CALL: Final = f"{THOUGHT}{MADE}c"
"""Begins the id of a reasoning item that only carries the signature of the call after it."""
CARRIES_TEXT: Final = f"{THOUGHT}{MADE}t"
"""Begins the id of a reasoning item that only carries the signature of the text before it."""


def made_here(item_id: str) -> bool:
    """Whether an item's id was made here."""
    return item_id.partition("_")[2].startswith(MADE)
