"""Measures LocalRouter against the bare proxy, both in front of one mock upstream, interleaved, and prints ratios.

Machines differ and are noisy: only the ratios of one run say something, so every round asks both, one after the other.
"""

import argparse
import collections
import contextlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench import chunks, load, processes
from bench.bare_proxy import KEY

ON = "key check, routing, health, limits on time and size, usage record to the journal and the log, ledger, access log"


@dataclass(frozen=True)
class Scenario:
    """One kind of load; ``goal`` is the ratio to the bare proxy that we want to keep."""

    name: str
    connections: int
    stream: bool
    latency: bool
    goal: str

    @property
    def cpu(self) -> str:
        """The name under which its CPU time per answer stands."""
        return f"CPU µs per {'stream' if self.stream else 'request'}, c={self.connections}"


SCENARIOS = [
    Scenario("requests/s, c=16", 16, stream=False, latency=False, goal=">= 0.70"),
    Scenario("streams/s, c=16", 16, stream=True, latency=False, goal=">= 0.70"),
    Scenario("p50 in µs, c=1", 1, stream=False, latency=True, goal="<= 1.40"),
]


@dataclass(frozen=True)
class Target:
    """What is loaded."""

    name: str
    port: int
    key: str
    model: str
    process_id: int


@dataclass
class Results:
    """The measured values of every round, by scenario and target."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=dict[tuple[str, str], list[float]])
    answered: collections.Counter[str] = field(default_factory=collections.Counter[str])
    """Whole answers by target, those of warming up too."""

    def add(self, scenario: Scenario, target: Target, result: load.Load, cpu_s: float) -> None:
        """Take one load's result; ``cpu_s`` is what the target and its children took meanwhile."""
        if result.errors:
            raise RuntimeError(f"{target.name}: {result.errors} bad answers in {scenario.name}")
        value = result.p50_us if scenario.latency else result.rate
        self.values.setdefault((scenario.name, target.name), []).append(value)
        self.values.setdefault((scenario.cpu, target.name), []).append(cpu_s / result.done * 1e6)

    def ratios(self, row: str, over: str, under: str) -> list[float]:
        """Return the ratio of two targets, round by round."""
        pairs = zip(self.values[row, over], self.values[row, under], strict=True)
        return [one / other for one, other in pairs]


def request(target: Target, *, stream: bool) -> bytes:
    """Return a chat request of about half a kilobyte, as bytes of HTTP."""
    body: dict[str, Any] = {
        "model": target.model,
        "messages": [
            {"role": "system", "content": "You are a careful assistant. " * 8},
            {"role": "user", "content": "What does a gateway cost? " * 4},
        ],
        "temperature": 0.2,
        "max_tokens": 64,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    encoded = msgspec.json.encode(body)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n"
        f"Authorization: Bearer {target.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(encoded)}\r\n\r\n"
    )
    return head.encode() + encoded


def measure(targets: list[Target], rounds: int, seconds: float) -> Results:
    """Load every target in turn, round after round; the round before the first only warms up."""
    results = Results()
    for number in range(rounds + 1):
        for scenario in SCENARIOS:
            for target in targets:
                before = processes.cpu_seconds(target.process_id)
                try:
                    result = load.run(
                        target.port,
                        request(target, stream=scenario.stream),
                        connections=scenario.connections,
                        seconds=seconds if number else min(seconds, 1),
                        contains="[DONE]" if scenario.stream else "chat.completion",
                    )
                except (subprocess.CalledProcessError, OSError) as error:
                    raise SystemExit(f"{target.name} does not answer in {scenario.name}: {error}") from error
                results.answered[target.name] += result.done
                if number:
                    results.add(scenario, target, result, processes.cpu_seconds(target.process_id) - before)
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
    return results


def prepare(router: processes.Running, upstream_port: int) -> Target:
    """Bind the mock upstream as a provider and make a key for it."""
    router.admin(
        "providers",
        {
            "slug": "bench",
            "vendor": "openai-compatible",
            "base_url": f"http://127.0.0.1:{upstream_port}/v1",
            "local": True,
            "options": {"models": ["mock"]},
        },
    )
    processes.wait(lambda: bool(router.admin("models?provider=bench")["items"]), 15)
    key = router.admin("keys", {"name": "bench", "target": {"model": "bench/mock"}})["key"]
    target = Target("localrouter", router.port, key, "bench/mock", router.child.pid)
    body = {"model": target.model, "messages": [{"role": "user", "content": "hello"}]}
    processes.wait(lambda: _answers(router, key, body), 15, pause_s=0.2)
    return target


def _answers(router: processes.Running, key: str, body: Any) -> bool:
    try:
        return bool(processes.call(router.url + "/v1/chat/completions", body, token=key)["choices"])
    except OSError:
        return False


def table(results: Results, targets: list[Target]) -> None:
    """Print medians and the ratios to the bare proxy."""
    names = [target.name for target in targets]
    print(f"{'':26}" + "".join(f"{name:>13}" for name in names) + "   x bare:  min  median    max     goal")
    rows = [(scenario.name, scenario.goal) for scenario in SCENARIOS]
    # Of all processes together: the same on a busy machine, where rates are not.
    rows += [(scenario.cpu, "") for scenario in SCENARIOS if not scenario.latency]
    for row, goal in rows:
        line = f"{row:26}" + "".join(f"{median(results.values[row, name]):13,.0f}" for name in names)
        if "localrouter" in names:
            ratios = results.ratios(row, "localrouter", "bare")
            line += f"           {min(ratios):5.2f}   {median(ratios):5.2f}  {max(ratios):5.2f}  {goal:>7}"
        print(line)


def ledger(router: processes.Running, answered: int) -> str:
    """Return whether every whole answer is in the ledger; what was cut off as a load ended is there besides."""
    sums: list[dict[str, Any]] = []

    def settled() -> bool:
        sums.append(router.admin("usage")["totals"])
        return len(sums) > 1 and sums[-1] == sums[-2] and sums[-1]["succeeded"] >= answered

    try:
        processes.wait(settled, 20, pause_s=0.5)
    except TimeoutError:
        return f"LOST: {answered:,} whole answers, {sums[-1]['succeeded']:,} of them in the ledger after 20 s"
    return f"{answered:,} whole answers; in the ledger {sums[-1]['requests']:,}, {sums[-1]['succeeded']:,} succeeded"


def idle(home: Path) -> None:
    """Print start, and what it takes while nobody asks; ``home`` has been started in before."""
    with processes.localrouter(home) as router:
        print(f"start, warm, to the first 200 of /readyz: {router.started_s:.2f} s (goal < 2)")
        router.cpu_percent(2)  # what starting left over
        cpu = router.cpu_percent(30)
        pss = router.pss_mb()
        print(f"idle, all processes, local model stopped: {pss:.0f} MB PSS (goal < 100), {cpu:.2f} % CPU (goal < 0.5)")
        router.admin("providers")
        print(f"the same after the admin API was used: {router.pss_mb():.0f} MB PSS")


def download() -> str:
    """Return the size of what ``make up`` downloads without the local model, in words."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-qq",
            "--disable-pip-version-check",
            "--require-hashes",
            "--no-deps",
        ]
        command += ["--only-binary", ":all:", "-d", folder]
        for name in ("build", "embedded"):
            command += ["-r", str(processes.ROOT / "requirements" / f"{name}.txt")]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if result.returncode:
            return "not measured, the package index was not reached"
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        return f"{size / 1e6:.1f} MB in {len(list(Path(folder).iterdir()))} wheels (goal < 60)"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="make bench", description="LocalRouter beside a bare proxy, in ratios")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each load")
    parser.add_argument("--without-localrouter", action="store_true", help="only the mock upstream and the bare proxy")
    parser.add_argument("--without-download", action="store_true", help="do not measure the download")
    options = parser.parse_args()
    compiled = processes.MOCK.exists() and load.GENERATOR.exists()
    print(f"upstream and load generator: {'C' if compiled else 'asyncio (no compiler here): expect other ratios'}")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        upstream_port, upstream_id = stack.enter_context(processes.mock_upstream())
        bare_port, bare_id = stack.enter_context(processes.bare_proxy(upstream_port))
        targets = [
            Target("upstream", upstream_port, "", "mock", upstream_id),
            Target("bare", bare_port, KEY, "bench/mock", bare_id),
        ]
        router = None
        if not options.without_localrouter:
            home = Path(folder)
            with processes.localrouter(home):
                pass
            idle(home)
            router = stack.enter_context(processes.localrouter(home))
            targets.append(prepare(router, upstream_port))
            print(f"switched on: {ON}")
        results = measure(targets, options.rounds, options.seconds)
        table(results, targets)
        if router is not None:
            print(ledger(router, results.answered["localrouter"]))
            print(f"after the load: {router.pss_mb():.0f} MB PSS")
    print("\nwhat a chunk of a stream costs, passed through and translated:")
    print(chunks.table())
    if not options.without_download:
        print(f"\ndownload of make up without the local model: {download()}")


if __name__ == "__main__":
    main()
