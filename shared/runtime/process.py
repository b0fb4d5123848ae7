"""One service in a process of its own: where it is, its log, its secrets, its life from start to signal."""

import asyncio
import errno
import gc
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import structlog

from shared.kernel.errors import LocalRouterError, LogUnavailable, StartRefused
from shared.log.nats import NatsLog
from shared.log.port import SECRETS, EventLog
from shared.log.secrets import SecretStore
from shared.log.snapshots import SnapshotStore
from shared.log.streams import verify
from shared.runtime.asgi import App
from shared.runtime.backups import nats_password
from shared.runtime.logging import configure_logging
from shared.runtime.master_key import MasterKeys, load_master_keys
from shared.runtime.server import HttpServer, bind
from shared.runtime.service import Service
from shared.runtime.settings import Nats, Settings
from shared.runtime.settings_file import home as home_folder
from shared.runtime.settings_file import load_settings, log_folder
from shared.runtime.token_files import SERVICE_VARIABLE, given_token

REFUSED: Final = 1
"""Exit code of a process that did not start."""
_PATIENCE_S: Final = 2.0
_ALONE_S: Final = 3.0
"""How long a service that can begin alone waits for NATS."""
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
INTERRUPTED: Final = 130
"""Exit code of one that Ctrl-C ended while it started."""

log = structlog.get_logger("process")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process is: its data folder and what was set."""

    home: Path
    settings: Settings
    environ: Mapping[str, str]

    @classmethod
    def here(cls, environ: Mapping[str, str]) -> "Place":
        """Find the data folder (made when missing) and read the settings; raises SettingsInvalid, StartRefused."""
        home = home_folder(environ)
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StartRefused(f"the data folder {home} cannot be made: {error.strerror}") from error
        return cls(home, load_settings(home, environ), environ)

    def snapshots(self, service: str) -> SnapshotStore:
        """Return the snapshots of one service."""
        return SnapshotStore(self.home / "snapshots" / service)


@dataclass(frozen=True)
class Surroundings:
    """What a service is built with."""

    place: Place
    log: EventLog
    snapshots: SnapshotStore
    service_token: str

    @property
    def secrets(self) -> SecretStore:
        """What the master key opens; only who asks for it needs the key. Raises StartRefused where there is none."""
        return SecretStore(self.log.bucket(SECRETS), self.masters)

    @cached_property
    def masters(self) -> MasterKeys:
        """The master keys; raises StartRefused where there are none."""
        return load_master_keys(self.place.home, self.place.environ)


@dataclass(frozen=True, slots=True)
class Running:
    """A service that was built, and where it listens."""

    service: Service
    host: str
    port: int
    drain: Callable[[], None] = lambda: None
    started: Callable[[], Awaitable[None]] | None = None
    """Called once it listens."""


def run(name: str, build: Callable[[Surroundings], Running], *, alone: bool = False) -> None:
    """Run one service until it is told to stop; exits with a sentence when it must not start.

    ``alone``: it can begin with what its snapshots hold while NATS is away.
    """
    run_process(lambda: _run_service(name, build, alone=alone))


def run_process(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run ``main`` on uvloop; what keeps a process from starting is one sentence on stderr, never a traceback."""
    os.umask(0o077)  # what a data folder holds is its owner's alone, however the folder itself was made
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(main())
    except LocalRouterError as error:
        print(f"localrouter: {error}", file=sys.stderr)  # noqa: T201  the process has no log yet, or no more
        sys.exit(REFUSED)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        where = f"{error.filename} cannot be written" if error.filename else "the data folder cannot be written"
        print(f"localrouter: {where}: {error.strerror}", file=sys.stderr)  # noqa: T201  as above
        sys.exit(REFUSED)
    except KeyboardInterrupt:  # before it served: from then on a signal is an orderly end
        sys.exit(INTERRUPTED)


async def serve(
    app: App,
    bound: socket.socket,
    settings: Settings,
    *,
    drain: Callable[[], None],
    started: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT: running answers get their grace, a second signal ends them at once."""
    limits = settings.server
    server = HttpServer(app, bound, header_timeout_s=limits.header_timeout_s, grace_s=limits.shutdown_grace_s)

    def stop() -> None:
        drain()
        server.stop()

    _on_signals(stop)
    serving = asyncio.create_task(server.run_until_stopped(), name="http server")
    if started is not None:
        await started()
    await serving


async def _run_service(name: str, build: Callable[[Surroundings], Running], *, alone: bool) -> None:
    place = Place.here(os.environ)
    settings = place.settings
    configure_logging(settings.log, log_folder(settings, place.home), service=name)
    token = service_token(place)
    event_log = await (_log_or_none_yet(name, place) if alone else connect_log(name, place))
    try:
        running = build(Surroundings(place, event_log, place.snapshots(name), token))
        bound = bind(running.host, running.port)
        try:
            await running.service.start()
            settle_memory()
            log.info("started", host=running.host, port=running.port)
            await serve(running.service.app, bound, settings, drain=running.drain, started=running.started)
        finally:
            await running.service.stop()
    finally:
        await event_log.close()


def settle_memory() -> None:
    """Tell the garbage collector that what is there stays, and to look for cycles far less often.

    Call it once all is started. Looking took 5 to 9 % of a request's CPU (docs/explanation/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def connect_log(name: str, place: Place, limit_s: float | None = None) -> NatsLog:
    """Connect to the NATS server that the settings name, waiting for it, and see that the log was set up.

    ``limit_s``: how long, None: as the settings say. Raises StartRefused, LogUnavailable, LogDamaged.
    """
    nats = place.settings.nats
    if nats.url is None:
        raise StartRefused("nats.url is not set: a service of its own needs a NATS server (or use `localrouter up`)")
    user, password = nats.user or name, nats_password(nats)
    limit_s = nats.wait_s if limit_s is None else limit_s
    waiting = asyncio.get_running_loop().call_later(_PATIENCE_S, _say_what_is_waited_for, nats)
    try:
        event_log = await NatsLog.connect(nats.url, user=user, password=password, name=name, limit_s=limit_s)
    finally:
        waiting.cancel()
    await verify(event_log.connection)
    return event_log


async def _log_or_none_yet(name: str, place: Place) -> NatsLog:
    """Connect, or go on without where snapshots tell enough: waiting then would only be an outage of its own."""
    nats = place.settings.nats
    known = place.snapshots(name).any()
    try:
        return await connect_log(name, place, min(nats.wait_s, _ALONE_S) if known else None)
    except LogUnavailable as error:
        if not known or nats.url is None:
            raise
        log.warning("NATS is away: beginning with what was last known", error=str(error))
        return NatsLog.seeking(nats.url, user=nats.user or name, password=nats_password(nats), name=name)


def _say_what_is_waited_for(nats: Nats) -> None:
    log.warning("waiting for NATS", url=nats.url, give_up_after_s=nats.wait_s)


def service_token(place: Place) -> str:
    """Return the token that internal routes ask for; raises StartRefused when none is set."""
    services = place.settings.services
    if services.token is not None:
        return services.token.get_secret_value()
    environ = dict(place.environ)
    if services.token_file is not None:
        environ.setdefault(f"{SERVICE_VARIABLE}_FILE", services.token_file)
    token = given_token(SERVICE_VARIABLE, environ)
    if token is None:
        raise StartRefused(f"no service token: set {SERVICE_VARIABLE} or {SERVICE_VARIABLE}_FILE")
    return token


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(stop))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
