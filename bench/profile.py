"""Says where the CPU time of a request goes: own time in the loop's thread, by library and by our own file."""

import argparse
import collections
import os
import pstats
import re
import signal
import tempfile
from pathlib import Path
from typing import Any, cast

from bench import load, processes, run

LIBRARY = re.compile(r"site-packages/([^/]+)")


def main() -> None:
    """Profile LocalRouter under load and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description="Where the CPU time of a request goes")
    parser.add_argument("--stream", action="store_true", help="profile streams instead of whole answers")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rows", type=int, default=40)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        processes.mock_upstream() as (upstream_port, _),
        processes.localrouter(Path(folder), module="bench.profiled") as router,
    ):
        target = run.prepare(router, upstream_port)
        contains = "[DONE]" if options.stream else "chat.completion"
        request = run.request(target, stream=options.stream)
        load.run(target.port, request, connections=16, seconds=1, contains=contains)
        os.kill(router.child.pid, signal.SIGUSR1)
        result = load.run(target.port, request, connections=16, seconds=options.seconds, contains=contains)
        os.kill(router.child.pid, signal.SIGUSR2)
        profile = Path(folder) / "profile"
        processes.wait(profile.exists, 10)
        rows = own_time(pstats.Stats(str(profile)))
    total = sum(rows.values())
    print(f"{result.done} answers, {total / result.done * 1e6:.0f} µs each, the profiler's own cost included")
    for name, seconds in rows.most_common(options.rows):
        print(f"{seconds / result.done * 1e6:8.1f} µs {seconds / total:6.1%}  {name}")


def own_time(stats: pstats.Stats) -> collections.Counter[str]:
    """Return seconds by library or file; what is written in C counts for who called it."""
    rows: collections.Counter[str] = collections.Counter()
    entries = cast("dict[Any, Any]", stats.stats)  # pyright: ignore[reportAttributeAccessIssue]  undocumented, stable
    for (file, _, _), (_, _, seconds, _, callers) in entries.items():
        if file == "~" and callers:
            for (caller, _, _), (_, _, part, _) in callers.items():
                rows[_room(caller)] += part
        else:
            rows[_room(file)] += seconds
    return rows


def _room(file: str) -> str:
    if library := LIBRARY.search(file):
        return library[1]
    path = Path(file)
    if path.is_relative_to(processes.ROOT):
        return str(path.relative_to(processes.ROOT))
    return f"Python: {path.parent.name if path.parent.name == 'asyncio' else path.stem}"


if __name__ == "__main__":
    main()
