"""A vendor at a public address: ``python -m tests.support.public_vendor FOLDER`` within a network of its own.

A provider on this machine is a local one, which costs nothing, so that nothing there can be of unknown price. In a
network namespace of its own a process may give the loopback device a public address: nothing leaves the machine.
"""

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support.system import ROOT, System, embedded, until, wall

ADDRESS = "192.31.196.1"
"""Of AS112 (RFC 7535): nobody's server, and public by every rule."""
_SET_ADDRESS, _SET_FLAGS = 0x8916, 0x8914
_UP_RUNNING = 0x41


def missing() -> str:
    """Return why there can be no network of its own here, or nothing."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return "unshare is missing"
    tried = subprocess.run([*_ALONE, "true"], capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"no network namespace can be made: {tried.stderr.strip()}"


_ALONE = (
    ["unshare", "--net"] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
)


def told(folder: Path) -> dict[str, Any]:
    """Run it, and return what it saw."""
    command = [*_ALONE, sys.executable, "-m", "tests.support.public_vendor", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _make_network() -> None:
    with socket.socket() as control:
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sh", b"lo", _UP_RUNNING))
        address = struct.pack("16sH2s4s8s", b"lo:1", socket.AF_INET, b"", socket.inet_aton(ADDRESS), b"")
        fcntl.ioctl(control, _SET_ADDRESS, address)


def _ask(system: System, key: str, model: str, *, stream: bool = False) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hello there"}], "stream": stream}
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{system.url}/v1/chat/completions", json=body, headers=headers, timeout=20)


def _printed(system: System, *arguments: str) -> str:
    env = {
        "LOCALROUTER_URL": system.url,
        "LOCALROUTER_HOME": os.environ["HOME"],
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "services.cli", *arguments]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=True, timeout=30).stdout


def _seen(system: System) -> dict[str, Any]:
    """Return what everybody is told of the newest request, and of all."""
    [record, *_] = system.items("requests")
    usage = system.http.get("/usage").json()["totals"]
    repriced = system.command("reprice")
    metrics = httpx.get(f"{system.url}/metrics", headers=system.http.headers).text
    return {
        "record": [record["cost_usd"], record["shadow_cost_usd"], record["price_version"]],
        "attempts": [[each["cost_usd"], each["price_version"]] for each in record["attempts"]],
        "usage": [usage["cost_usd"], usage["shadow_cost_usd"], usage["unpriced_requests"]],
        "recent": {minute["cost_usd"] for minute in system.http.get("/recent").json()["items"]},
        "reprice": [repriced["recorded"]["cost_usd"], repriced["repriced"]["cost_usd"]],
        "usage command": _printed(system, "usage"),
        "show command": _printed(system, "requests", "show", record["id"]),
        "metrics": [
            line for line in metrics.splitlines() if line.startswith(("localrouter_unpriced", "localrouter_cost_usd"))
        ],
    }


def _scenario(folder: Path) -> dict[str, Any]:
    """Ask a model of unknown price, price it twice, and ask a subscription."""
    seen: dict[str, Any] = {}
    with wall(folder, "small", host=ADDRESS) as vendor, embedded(folder, "--no-local-model") as system:
        os.environ["HOME"] = str(folder / "home")
        where = {"vendor": "openai-compatible", "base_url": f"{vendor.url}/v1"}
        system.vendor("paid", url=where["base_url"], vendor=where["vendor"], models=["small"], credential="secret")
        key = system.key(name="lenient", target={"model": "paid/small"})
        strict = system.key(name="strict", target={"model": "paid/small"}, policies={"unpriced": "refuse"})
        seen["model"] = [(item["prices"], item["price_source"]) for item in system.items("models")]
        answer = until(lambda: (said := _ask(system, key, "auto")).status_code == 200 and said, "an answer")
        seen["header"] = answer.headers.get("x-localrouter-cost-usd")
        system.request(answer.headers["x-request-id"])
        seen["unpriced"] = _seen(system)
        refused = _ask(system, strict, "auto")
        seen["strict"] = [refused.status_code, refused.json()["error"]["code"], refused.json()["error"]["message"]]
        log = (folder / "home" / "logs" / "localrouter.log").read_text().splitlines()
        seen["told"] = [json.loads(line)["models"] for line in log if '"prices unknown"' in line]

        for version, (given, made) in enumerate((("1", "2"), ("3", "4")), 1):
            system.command("models", "price", "paid/small", "--input", given, "--output", made)
            until(lambda: _costs(system, key, f"overrides@{version}"), "the price is in the plan")  # noqa: B023
        seen["versions"] = {
            version: system.command("reprice", "--key", "lenient", "--as-of", version)
            for version in ("overrides@1", "overrides@2")
        }
        seen["priced"] = _seen(system)

        system.vendor(
            "plan", url=where["base_url"], vendor=where["vendor"], models=["small"], credential="t", subscription=True
        )
        system.command("models", "price", "plan/small", "--input", "1000000", "--output", "0")
        planned = system.key(name="planned", target={"model": "plan/small"})
        until(lambda: _costs(system, planned, "overrides@3"), "the plan's model is in a plan")
        seen["subscription"] = _seen(system)
    return seen


def _costs(system: System, key: str, version: str) -> bool:
    said = _ask(system, key, "auto")
    return said.status_code == 200 and system.request(said.headers["x-request-id"])["price_version"] == version


if __name__ == "__main__":
    _make_network()
    print(json.dumps(_scenario(Path(sys.argv[1])), default=sorted))
