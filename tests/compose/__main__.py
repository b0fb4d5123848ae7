"""``make compose-test``: the whole stack in real containers, from an empty engine to an empty engine.

``--stay`` builds it, says how single tests are run against it, and takes it down when it is interrupted; anything else
goes to pytest in place of everything.

Exit code 0: everything held; 1: something did not; 77: there is no engine here, and none can be started.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from tests.compose.engine import CannotRunError, Engine, cache_folder, engine
from tests.compose.images import ROOT
from tests.compose.stack import Stack, stack

CANNOT = 77
STAY = "--stay"


def main(arguments: list[str]) -> int:
    """Run it and return the exit code."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", flush=True)

    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))  # everything is taken down on the way out
    try:
        cache = cache_folder()
        with engine(cache) as found:
            say(f"engine {found.run('version', '--format', '{{.Server.Version}}').strip()}")
            with stack(found, cache) as made:
                say("images built")
                failed = _stay(made, say) if STAY in arguments else _run(made, arguments)
                if failed:
                    print(made.logs(), flush=True)
            say("taken down")
            failed |= _left_behind(found)
    except CannotRunError as why:
        print(f"compose-test cannot run here: {why}", flush=True)
        return CANNOT
    say("failed" if failed else "everything held")
    return 1 if failed else 0


def _command(made: Stack) -> tuple[list[str], dict[str, str]]:
    """Return pytest inside the network, without saying which tests, and what it needs to find the stack."""
    given = {
        "LOCALROUTER_COMPOSE_FOLDER": str(made.folder),
        "LOCALROUTER_COMPOSE_FILES": os.pathsep.join(map(str, made.files)),
        "LOCALROUTER_COMPOSE_PORT": str(made.port),
        "LOCALROUTER_COMPOSE_ENGINE": shlex.join([made.engine.docker, made.engine.compose]),
        "PYTHONPATH": str(ROOT),
        **made.engine.environ,
    }
    return [*made.engine.enter, sys.executable, "-m", "pytest", "-m", "compose", "-rA", "--tb=short"], given


def _run(made: Stack, arguments: list[str]) -> bool:
    """Run the suites from inside the network; returns whether something did not hold."""
    command, given = _command(made)
    wanted = arguments or ["tests/compose"]
    return subprocess.run([*command, *wanted], cwd=ROOT, env=made.engine.env(**given), check=False).returncode != 0


def _stay(made: Stack, say: Callable[[str], None]) -> bool:
    """Leave it there until somebody interrupts."""
    command, given = _command(made)
    script = made.folder.parent / "pytest"
    variables = [f"{name}={value}" for name, value in given.items()]
    script.write_text(
        f'#!/bin/sh\ncd {shlex.quote(str(ROOT))}\nexec {shlex.join(["env", *variables, *command])} "$@"\n'
    )
    script.chmod(0o755)
    say(f"single tests: {script} tests/compose -k WORD; to the end: Ctrl-C")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    return False


def _left_behind(found: Engine) -> bool:
    left = found.run("ps", "-aq", "--filter", "label=com.docker.compose.project=localrouter-compose-test").split()
    left += found.run("volume", "ls", "-q", "--filter", "name=localrouter-compose-test").split()
    left += found.run("network", "ls", "-q", "--filter", "name=localrouter-compose-test").split()
    if left:
        print(f"left behind: {', '.join(left)}", flush=True)
    return bool(left)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
