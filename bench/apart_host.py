"""Every service in a process of its own, over NATS and HTTP, the ledger in PostgreSQL: ``python -m bench.apart_host``.

As `localrouter up --json` does, it takes its folder and port from the environment and says where the admin token is.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import structlog

from bench.processes import call, free_port, wait
from services.embedded.nats_server import NatsServer
from shared.runtime.bootstrap import bootstrap_log
from shared.runtime.master_key import load_master_key
from shared.testing.postgres import PASSWORD, throw_away_postgres

INTERNAL = ("router", "providers", "metrics")
START_S = 30


async def main(home: Path) -> None:
    """Run until signalled."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with contextlib.ExitStack() as running:
        server = running.enter_context(throw_away_postgres(careless=False))
        async with NatsServer(home, load_master_key(home, os.environ)) as nats:
            await bootstrap_log(nats.url, user="bootstrap", password=nats.users["bootstrap"])
            ports = {name: free_port() for name in INTERNAL}
            environ = {
                **os.environ,
                "LOCALROUTER_NATS__URL": nats.url,
                "LOCALROUTER_SERVICE_TOKEN": "the-service-token",
                "LOCALROUTER_DATABASE__URL": server.create("localrouter"),
                "LOCALROUTER_DATABASE__PASSWORD": PASSWORD,
                **{f"LOCALROUTER_SERVICES__{name.upper()}_PORT": str(port) for name, port in ports.items()},
                **{f"LOCALROUTER_SERVICES__{n.upper()}_URL": f"http://127.0.0.1:{p}" for n, p in ports.items()},
            }
            with contextlib.ExitStack() as services:
                for name in (*INTERNAL, "gateway"):
                    services.enter_context(_service(name, environ | {"LOCALROUTER_NATS__PASSWORD": nats.users[name]}))
                url = f"http://127.0.0.1:{os.environ['LOCALROUTER_SERVER__PORT']}"
                await asyncio.to_thread(wait, lambda: _ready(url, home), START_S, pause_s=0.05)
                print(json.dumps({"admin_token_file": str(home / "admin-token")}), flush=True)
                await stop.wait()


@contextlib.contextmanager
def _service(name: str, environ: dict[str, str]) -> Generator[None]:
    child = subprocess.Popen([sys.executable, "-m", f"services.{name}"], env=environ, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.terminate()
        child.wait(START_S)


def _ready(url: str, home: Path) -> bool:
    try:
        token = (home / "admin-token").read_text().strip()
        return call(f"{url}/admin/v1/health", token=token, limit_s=5)["status"] == "ok"
    except OSError:
        return False


if __name__ == "__main__":
    asyncio.run(main(Path(os.environ["LOCALROUTER_HOME"])))
