"""How a settings file of an older version becomes one of the newest: a chain of plain functions, one step each."""

from collections.abc import Callable
from typing import Final

from shared.runtime.settings import VERSION
from shared.runtime.settings_document import Document


def _from_0(document: Document) -> None:
    """Version 0 had no ``version`` and said the address and the log level at the top."""
    document.move("host", "server", "host")
    document.move("port", "server", "port")
    document.move("log_level", "log", "level")


MIGRATIONS: Final[tuple[Callable[[Document], None], ...]] = (_from_0,)
"""The step from version ``n`` to ``n + 1`` stands at index ``n``."""


def migrate(document: Document, version: int) -> None:
    """Bring a document of ``version`` to the newest one, in place; comments stay with their lines."""
    for step in MIGRATIONS[version:VERSION]:
        step(document)
    document.set_version(VERSION)
