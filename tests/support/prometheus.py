"""A real Prometheus to throw away, and what it answers."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from shared.testing.nats import free_port
from tests.support.system import until

SETTINGS = """
global: {{ scrape_interval: {every}, evaluation_interval: {every} }}
rule_files: [{rules}]
scrape_configs:
  - job_name: gateway
    authorization: {{ credentials: {token} }}
    static_configs: [{{ targets: ["{target}"] }}]
"""

Series = dict[tuple[str, ...], float]
"""Values by the values of the labels, in the order of the labels' names."""


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=10)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def ask(self, expr: str) -> Series:
        """Return what an expression is now."""
        answer = self._http.post("/api/v1/query", data={"query": expr})
        assert answer.status_code == 200, answer.text
        return {_labels(item): float(item["value"][1]) for item in answer.json()["data"]["result"]}

    def over(self, expr: str, seconds: float, step: float = 1.0) -> dict[tuple[str, ...], list[float]]:
        """Return what an expression was in the last ``seconds``."""
        now = time.time()
        data = {"query": expr, "start": now - seconds, "end": now, "step": step}
        answer = self._http.post("/api/v1/query_range", data=data)
        assert answer.status_code == 200, answer.text
        found = answer.json()["data"]["result"]
        return {_labels(item): [float(value) for _, value in item["values"]] for item in found}

    def ready(self) -> bool:
        """Whether it answers."""
        return self._http.get("/-/ready").status_code == 200

    def targets(self) -> list[dict[str, Any]]:
        """Return what it scrapes."""
        return self._http.get("/api/v1/targets").json()["data"]["activeTargets"]


def _labels(item: dict[str, Any]) -> tuple[str, ...]:
    return tuple(value for _, value in sorted(item["metric"].items()))


def available() -> bool:
    """Whether the program is installed."""
    return shutil.which("prometheus") is not None


@contextlib.contextmanager
def prometheus(folder: Path, target: str, token: str, rules: Path, *, every: str = "1s") -> Iterator[Prometheus]:
    """Run a server that scrapes ``target``."""
    folder.mkdir()
    settings = folder / "prometheus.yml"
    settings.write_text(SETTINGS.format(every=every, rules=rules, token=token, target=target))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={settings}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    running = Prometheus(f"http://127.0.0.1:{port}")
    try:
        until(running.ready, "Prometheus answers")
        yield running
    finally:
        running.close()
        process.terminate()
        process.wait(20)
