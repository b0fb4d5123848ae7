"""How a command ends: its exit codes, and the error that carries one with its sentence."""

from enum import IntEnum


class Exit(IntEnum):
    """What a script may rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_REACHABLE = 3
    REFUSED = 4


class CommandFailed(Exception):
    """The command ends with ``code`` and one sentence.

    ``document`` is the API's own answer and ``status`` its HTTP status, where there was one.
    """

    def __init__(self, code: Exit, sentence: str, document: str | None = None, status: int | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.document = document
        self.status = status


def not_there_yet(what: str) -> CommandFailed:
    """Return the end of a command or option that later versions have."""
    return CommandFailed(Exit.REFUSED, f"{what} is not there yet.")
