"""The `localrouter` command's way in, and how each kind of end becomes an exit code."""

import os
import sys
from collections.abc import Sequence

from services.cli.app import build
from services.cli.errors import CommandFailed, Exit
from shared.kernel.errors import SettingsInvalid


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command (``arguments`` None: the process's own); raises SystemExit with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        build()(args=given, prog_name="localrouter")
    except CommandFailed as error:
        if error.document is not None and "--json" in given:
            sys.stdout.write(error.document.rstrip("\n") + "\n")
        sys.exit(_say(str(error), error.code))
    except SettingsInvalid as error:
        sys.exit(_say(f"the settings hold mistakes:\n{error}", Exit.FAILED))
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.DONE)


def _say(sentence: str, code: Exit) -> int:
    sys.stderr.write(f"localrouter: {sentence}\n")
    return code


if __name__ == "__main__":
    main()
