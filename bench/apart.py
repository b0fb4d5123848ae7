"""Measures LocalRouter as processes of its own, with PostgreSQL, against the same in one process, and prints ratios.

Both run at the same time in front of one mock upstream, and every round asks both, one after the other.
"""

import argparse
import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench import processes, run

TOGETHER, APART = "one process", "processes"
GOAL = 0.5
"""Of the rates of one process: two hops of HTTP and four times an interpreter cost no more than that."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.apart", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each load")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        upstream, _ = stack.enter_context(processes.mock_upstream())
        running = {
            name: stack.enter_context(processes.localrouter(Path(home), module=module))
            for name, module in ((TOGETHER, "services.embedded"), (APART, "bench.apart_host"))
            for home in (stack.enter_context(tempfile.TemporaryDirectory()),)
        }
        targets = [replace(run.prepare(one, upstream), name=name) for name, one in running.items()]
        results = run.measure(targets, options.rounds, options.seconds)
        print(f"{'':26}{TOGETHER:>13}{APART:>13}   ratio:   min  median    max     goal")
        for scenario in run.SCENARIOS:
            _line(results, scenario.name, "" if scenario.latency else f">= {GOAL:.2f}")
        for scenario in run.SCENARIOS:
            if not scenario.latency:
                _line(results, scenario.cpu, "")
        for name, one in running.items():
            print(f"{name}: {run.ledger(one, results.answered[name])}, {one.pss_mb():.0f} MB PSS")


def _line(results: run.Results, row: str, goal: str) -> None:
    rates = "".join(f"{median(results.values[row, name]):13,.0f}" for name in (TOGETHER, APART))
    ratios = results.ratios(row, APART, TOGETHER)
    print(f"{row:26}{rates}         {min(ratios):5.2f}   {median(ratios):5.2f}  {max(ratios):5.2f}  {goal:>7}")


if __name__ == "__main__":
    main()
