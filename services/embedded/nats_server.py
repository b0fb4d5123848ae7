"""The nats-server of an embedded LocalRouter: started in its own folder, kept alive, gone with its parent."""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import structlog

from services.embedded.folder_lock import FolderLock
from services.embedded.parent_death import KERNEL_TELLS, Watcher, die_with_parent
from shared.kernel.errors import StartRefused
from shared.runtime.atomic_file import write_atomically
from shared.runtime.bootstrap import syncs_every_write
from shared.runtime.nats_binary import nats_server_binary
from shared.runtime.nats_config import KEY_VARIABLE, render
from shared.runtime.nats_users import SYSTEM, USERS
from shared.runtime.store_key import STORE, open_store_key

log = structlog.get_logger("nats")

_MEMORY: Final = "64MiB"
"""From here on its garbage collector works harder; it is no bound (https://pkg.go.dev/runtime, GOMEMLIMIT)."""
_START_S: Final = 60.0
"""A large store is read before the port opens."""
_STOP_S: Final = 10.0
_PORT_TRIES: Final = 3


class NatsServer:
    """A nats-server on loopback with a user per service, as an async context manager or by ``start`` and ``stop``."""

    def __init__(
        self,
        home: Path,
        master: bytes,
        *,
        older: Sequence[bytes] = (),
        max_store_bytes: int = 10 * 1024**3,
        kernel_tells: bool = KERNEL_TELLS,
    ) -> None:
        """``home`` is the data folder, which is locked; the store is ``home/nats``. ``older``: master keys that are
        being replaced."""
        self.users: dict[str, str] = {}
        """Passwords by user."""
        self.url = ""
        self._folder = home / "nats"
        self._master = master
        self._older = older
        self._max_store_bytes = max_store_bytes
        self._kernel_tells = kernel_tells
        self._lock = FolderLock(home)
        self._key = ""
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._watcher = Watcher()
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Lock the folder, check the key, start, and return when the server answers.

        Raises StartRefused: folder in use, wrong or missing key, no binary, a server that does not come up or does
        not sync every write.
        """
        await self._lock.acquire()
        try:
            self._folder.mkdir(exist_ok=True, mode=0o700)
            (self._folder / STORE).mkdir(exist_ok=True, mode=0o700)
            self._key = open_store_key(self._folder, self._master, older=self._older)
            self._master, self._older = b"", ()
            self.users = {name: secrets.token_urlsafe(24) for name in USERS}
            await self._first_start()
            if await self.durable() is False:
                raise StartRefused("nats-server runs without sync_interval: always, a power cut would lose changes")
        except BaseException:
            await self._end()
            raise
        self._keeper = asyncio.create_task(self._keep(), name="nats-server keeper")

    async def stop(self) -> None:
        """End the server properly and unlock the folder."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self._end()

    async def durable(self) -> bool | None:
        """Whether the running server syncs every write before it acknowledges it; None: it does not say."""
        return await syncs_every_write(self.url, user=SYSTEM, password=self.users[SYSTEM])

    async def _first_start(self) -> None:
        for attempt in range(_PORT_TRIES):
            self._port = _free_port()
            self.url = f"nats://127.0.0.1:{self._port}"
            self._write_config()
            try:
                await self._launch()
            except StartRefused as error:
                # Somebody may have taken the port between looking and listening.
                if "address already in use" not in str(error) or attempt == _PORT_TRIES - 1:
                    raise
            else:
                return

    def _write_config(self) -> None:
        text = render(
            port=self._port,
            store=self._folder / STORE,
            log_file=self._folder / "nats-server.log",
            max_store_bytes=self._max_store_bytes,
            passwords=self.users,
        )
        write_atomically(self._config, text.encode())

    async def _launch(self) -> None:
        started = time.monotonic()
        with (self._folder / "nats-server.out").open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                os.fspath(nats_server_binary()),
                "-c",
                os.fspath(self._config),
                env={KEY_VARIABLE: self._key, "GOMEMLIMIT": _MEMORY, "GOMAXPROCS": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the parent, which then ends the server last
                pass_fds=(self._lock.descriptor,),
                preexec_fn=die_with_parent() if self._kernel_tells else None,
            )
        if not self._kernel_tells:
            await self._watcher.watch(self._process.pid)
        await self._until_listening(self._process)
        log.info("nats-server is up", pid=self._process.pid, port=self._port, after_s=time.monotonic() - started)

    async def _until_listening(self, process: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + _START_S
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                if process.returncode is not None:
                    raise StartRefused(f"nats-server ended at once: {self._last_words()}") from None
                if time.monotonic() >= deadline:
                    raise StartRefused(f"nats-server did not open its port in {_START_S} s") from None
                await asyncio.sleep(0.003)
            else:
                writer.close()
                return

    def _last_words(self) -> str:
        words = ""
        for name in ("nats-server.out", "nats-server.log"):
            with contextlib.suppress(OSError):
                words = "\n".join((self._folder / name).read_text(errors="replace").splitlines()[-3:]) or words
        return words or "it said nothing"

    async def _keep(self) -> None:
        """Start the server again whenever it ends by itself."""
        pause = 0.0
        while True:
            process = self._process
            if process is not None:
                code = await process.wait()
                log.error("nats-server ended", code=code, last_words=self._last_words())
            await self._watcher.stop()
            await asyncio.sleep(pause)
            try:
                await self._launch()
                pause = 0.1
            except (StartRefused, OSError) as error:
                log.error("nats-server does not start", error=str(error))
                pause = min(max(pause, 0.1) * 2, 5.0)

    async def _end(self) -> None:
        await self._watcher.stop()
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        self._config.unlink(missing_ok=True)
        self._lock.release()

    @property
    def _config(self) -> Path:
        return self._folder / "nats.conf"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
