"""Services in processes of their own over a NATS server whose store is not encrypted, each to be killed alone."""

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx

from shared.log.streams import bootstrap
from shared.testing.nats import ThrowAwayNats, free_port
from tests.support.system import LIMIT_S, Processes, System, environment, until

OTHERS = ("router", "providers", "metrics")


class Apart:
    """The processes, and the folder with everything that they keep: ``home`` and ``nats``."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.home, store = folder / "home", folder / "nats"
        self.home.mkdir(exist_ok=True)
        store.mkdir(exist_ok=True)
        self.nats = ThrowAwayNats(store)
        self._env = env
        self._ports = {name: free_port() for name in (*OTHERS, "gateway")}
        self._processes = Processes(folder)

    @contextlib.contextmanager
    def running(self) -> Iterator[System]:
        """Start everything, and end what runs by then."""
        asyncio.run(self._make_log())
        try:
            for name in (*OTHERS, "gateway"):
                self.start(name)
            until(self.ready, "the gateway is ready")
            with System(self.url, (self.home / "admin-token").read_text().strip()) as system:
                until(lambda: system.http.get("/health").json()["status"] == "ok", "every service is ready")
                yield system
        finally:
            self._processes.stop()
            self.nats.kill()

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return f"http://127.0.0.1:{self._ports['gateway']}"

    def ready(self) -> bool:
        """Whether the gateway can do its job."""
        return httpx.get(f"{self.url}/readyz").status_code == 200

    def start(self, name: str) -> None:
        """Start a service; on the same port as before."""
        env = environment(self.home, self._ports["gateway"], **self._env)
        for other in OTHERS:
            env[f"LOCALROUTER_SERVICES__{other.upper()}_PORT"] = str(self._ports[other])
            env[f"LOCALROUTER_SERVICES__{other.upper()}_URL"] = f"http://127.0.0.1:{self._ports[other]}"
        env |= {"LOCALROUTER_NATS__URL": self.nats.url, "LOCALROUTER_SERVICE_TOKEN": "the-service-token"}
        self._processes.start(name, [f"services.{name}"], env)

    def kill(self, name: str) -> None:
        """End a service as kill -9 does."""
        process: subprocess.Popen[str] = self._processes.running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT_S)
        if process.stdout is not None:
            process.stdout.close()

    async def _make_log(self) -> None:
        await self.nats.start()
        log = await self.nats.log("bootstrap")
        await bootstrap(log.connection)
        await log.close()
