"""``make compose-test``: the whole stack in real containers, from an empty engine to an empty engine.

Exit code 0: everything held; 1: something did not; 77: there is no engine here, and none can be started.
"""

import os
import shlex
import signal
import subprocess
import sys
import time

from tests.compose.engine import CannotRunError, Engine, cache_folder, engine
from tests.compose.images import ROOT
from tests.compose.stack import Stack, stack

CANNOT = 77


def main(arguments: list[str]) -> int:
    """Run it; ``arguments`` go to pytest in place of everything."""
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
                failed = _run(made, arguments, say)
                if failed:
                    print(made.logs(), flush=True)
            say("taken down")
            failed |= _left_behind(found)
    except CannotRunError as why:
        print(f"compose-test cannot run here: {why}", flush=True)
        return CANNOT
    say("failed" if failed else "everything held")
    return 1 if failed else 0


def _run(made: Stack, arguments: list[str], say: object) -> bool:
    """Run the suites from inside the network; returns whether something did not hold."""
    environ = made.engine.env(
        LOCALROUTER_COMPOSE_FOLDER=str(made.folder),
        LOCALROUTER_COMPOSE_FILES=os.pathsep.join(map(str, made.files)),
        LOCALROUTER_COMPOSE_PORT=str(made.port),
        LOCALROUTER_COMPOSE_ENGINE=shlex.join([made.engine.docker, made.engine.compose]),
        PYTHONPATH=str(ROOT),
    )
    wanted = arguments or ["tests/compose"]
    command = [*made.engine.enter, sys.executable, "-m", "pytest", "-m", "compose", "-rA", "--tb=short", *wanted]
    return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode != 0


def _left_behind(found: Engine) -> bool:
    left = found.run("ps", "-aq", "--filter", "label=com.docker.compose.project=localrouter-compose-test").split()
    left += found.run("volume", "ls", "-q", "--filter", "name=localrouter-compose-test").split()
    left += found.run("network", "ls", "-q", "--filter", "name=localrouter-compose-test").split()
    if left:
        print(f"left behind: {', '.join(left)}", flush=True)
    return bool(left)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
