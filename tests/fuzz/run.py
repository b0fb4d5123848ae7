"""``make fuzz``: mutated bytes through everything that parses, ten million each; what breaks is printed and fails.

Where atheris is installed it guides the mutation by coverage; else, and for the sample of the quick suite, chance
alone does, always the same one. Each target has a process of its own, so that its memory shows.
"""

import argparse
import importlib
import importlib.util
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.fuzz.seeds import mutations, seeds

_SLOW_S: Final = 2.0
_MOST_MB: Final = 512
_GUIDED: Final = importlib.util.find_spec("atheris") is not None


def by_chance(target: Callable[[bytes], None], size: int, begin: list[bytes], seed: int = 1) -> tuple[int, int]:
    """Put at least ``size`` bytes through a target; return how many they were, and in how many inputs.

    Raises what the target raises, and AssertionError for an input that takes longer than two seconds.
    """
    fed = count = 0
    for data in mutations(begin, random.Random(seed)):
        started = time.monotonic()
        try:
            target(data)
        except BaseException:
            sys.stderr.write(f"breaks with {data!r}\n")
            raise
        assert time.monotonic() - started < _SLOW_S, f"slow with {data!r}"
        fed += len(data)
        count += 1
        if fed >= size:
            break
    return fed, count


def _guided(name: str, size: int) -> None:
    """Put ``size`` bytes through a target, guided by coverage, and end the process."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["services.providers", "shared.contracts"]):
        from tests.fuzz.targets import targets
    target = targets()[name]
    folder = tempfile.TemporaryDirectory()
    fed = count = 0

    def one(data: bytes) -> None:
        nonlocal fed, count
        target(data)
        fed += len(data)
        count += 1
        if fed >= size:
            folder.cleanup()
            _report(name, fed, count)
            os._exit(0)

    for place, seed in enumerate(seeds()):
        (Path(folder.name) / str(place)).write_bytes(seed)
    limits = ["-max_len=16384", "-len_control=0", "-timeout=5", f"-rss_limit_mb={_MOST_MB}", "-verbosity=0"]
    atheris.Setup([sys.argv[0], folder.name, *limits, f"-artifact_prefix={folder.name}/"], one)
    atheris.Fuzz()


def _one(name: str, size: int) -> None:
    if _GUIDED:
        _guided(name, size)
    from tests.fuzz.targets import targets

    _report(name, *by_chance(targets()[name], size, seeds()))


def _report(name: str, fed: int, count: int) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    assert peak < _MOST_MB, f"{name} took {peak} MB"
    sys.stdout.write(f"{name:44} {fed:>12,} bytes {count:>8,} inputs  peak {peak:>4} MB\n")
    sys.stdout.flush()


def main() -> None:
    """Fuzz every target, or one."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Mutated bytes through everything that parses")
    parser.add_argument("--bytes", type=int, default=10_000_000, help="through each target")
    parser.add_argument("--target", help="only this one, in this process")
    asked = parser.parse_args()
    if asked.target is not None:
        _one(asked.target, asked.bytes)
        return
    from tests.fuzz.targets import targets

    broken = [
        name
        for name in targets()
        if subprocess.run(
            [sys.executable, "-m", "tests.fuzz.run", "--bytes", str(asked.bytes), "--target", name]
        ).returncode
    ]
    sys.stdout.write(
        f"{len(targets())} targets, {'guided by coverage' if _GUIDED else 'by chance'}; broken: {broken or 'none'}\n"
    )
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
