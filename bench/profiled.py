"""Runs LocalRouter with a profiler that SIGUSR1 switches on and SIGUSR2 off, into ``profile`` in the data folder."""

import cProfile
import os
import signal
import time
from pathlib import Path

from services.embedded.__main__ import main


def run() -> None:
    """Run until stopped."""
    # CPU time of the loop's own thread: what other programs do meanwhile does not count.
    profile = cProfile.Profile(time.thread_time)
    target = Path(os.environ["LOCALROUTER_HOME"]) / "profile"

    def start(*_: object) -> None:
        profile.enable()

    def stop(*_: object) -> None:
        profile.disable()
        part = target.with_suffix(".part")
        profile.dump_stats(part)
        part.replace(target)

    signal.signal(signal.SIGUSR1, start)
    signal.signal(signal.SIGUSR2, stop)
    main()


if __name__ == "__main__":
    run()
