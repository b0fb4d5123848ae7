"""Imports of libraries without what they would take along and never use here: memory, and time to start."""

import sys
from typing import Any, cast


class Without:
    """Within it, packages that are not imported yet look as if they were not installed."""

    def __init__(self, *names: str) -> None:
        self._hidden = [name for name in names if name not in sys.modules]

    def __enter__(self) -> None:
        modules = cast("dict[str, Any]", sys.modules)
        modules.update(dict.fromkeys(self._hidden))  # what Python takes for "there is no such module"

    def __exit__(self, *_: object) -> None:
        for name in self._hidden:
            del sys.modules[name]
