"""The composition root of the gateway: the one place where its ports meet their adapters."""

import contextlib
import shutil
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from prometheus_client import CollectorRegistry, Gauge

from services.gateway.adapters.adoption import Adoption
from services.gateway.adapters.journal import Journal
from services.gateway.adapters.log_watch import LogWatch
from services.gateway.adapters.master_rotation import MasterRotation, Rotated
from services.gateway.adapters.outbox import Outbox
from services.gateway.adapters.pepper_rotation import PepperRotation
from services.gateway.adapters.peppers import Peppers
from services.gateway.api.backup import backup_app
from services.gateway.api.data_plane import DataPlane, RefusalCap
from services.gateway.api.health import HealthView, Readiness
from services.gateway.api.keys import Keys
from services.gateway.api.public import PublicApp
from services.gateway.domain.opened import interrupted
from services.gateway.domain.origin import LOOPBACK, Hosts, Origins
from services.gateway.projections.keys import KeyRing
from services.gateway.projections.routes import Catalog, Health, Plans
from services.gateway.settings import GatewaySettings
from shared.contracts.config import KeyOptions
from shared.contracts.frames import Completions
from shared.kernel.clock import Clock
from shared.kernel.errors import Refusal, StartRefused
from shared.kernel.ids import NewId
from shared.kernel.secrets import Secret
from shared.log.aggregates import Aggregates
from shared.log.folds import BucketWatcher, FoldRunner
from shared.log.port import CATALOG, LEASES, LR_CONFIG, LR_HEALTH, PLANS, SECRETS, EventLog
from shared.log.secrets import SecretStore
from shared.log.snapshots import SnapshotStore
from shared.runtime.asgi import App, Receive, Scope, Send, respond
from shared.runtime.lazy import LazyApp
from shared.runtime.master_key import MasterKeys
from shared.runtime.metrics import metrics_app
from shared.runtime.service import Part, Service

OWNERS: Final[Mapping[str, tuple[str, ...]]] = {
    "router": ("routers", "simulate"),
    "providers": ("providers", "models", "vendors"),
    "metrics": ("usage", "requests", "reprice", "recent", "rebuild", "dead-letters"),
}
"""Which other service serves which part of the admin API."""
_REFUSED_S: Final = 10.0
"""For how long the log may take nothing before it is told: a restart of nats-server is shorter."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway as a part of a process."""

    service: Service
    first_key: Callable[[], Awaitable[Secret | None]]
    """Makes the first key ever, or returns None when one was made before."""
    has_keys: Callable[[], bool]
    """Whether a key was ever made."""
    drain: Callable[[], None]
    """Take no new request: the process is about to end."""


def build(
    settings: GatewaySettings,
    *,
    log: EventLog,
    secrets: SecretStore,
    completions: Completions,
    services: Mapping[str, App],
    readiness: Mapping[str, Readiness],
    admin_token: str,
    snapshots: SnapshotStore,
    clock: Clock,
    new_id: NewId,
    registries: Sequence[CollectorRegistry] = (),
    remote: Sequence[Part] = (),
    metrics_token: str | None = None,
    masters: MasterKeys | None = None,
    rewrap_more: Callable[[Sequence[bytes]], object] = lambda _: None,
    backup: Callable[[], Awaitable[IO[bytes]]] | None = None,
) -> Gateway:
    """Wire the gateway.

    ``services`` are the other services' applications by name (``OWNERS``), ``registries`` what ``/metrics`` shows
    besides the gateway's own, ``remote`` the connections behind ``services`` and ``completions`` where there are any,
    ``metrics_token`` what opens ``/metrics`` besides the admin token, ``masters`` the master key where it can be
    rotated, ``rewrap_more`` what wraps by it what is sealed elsewhere, ``backup`` makes a backup where that
    can be done from here.
    """
    ring, plans, catalog, health = KeyRing(), Plans(), Catalog(), Health()
    peppers = Peppers(log.bucket(SECRETS), secrets, new_id, snapshots.within(SECRETS))
    journal = Journal(settings.journal, interrupted)
    outbox = Outbox(journal, log, settings.gateway_id)
    watch = LogWatch(log, clock)
    keys_runner = FoldRunner(log, ring, snapshots=snapshots)
    health_runner = FoldRunner(log, health, snapshots=snapshots, essential=False)
    keys = Keys(
        Aggregates(log, clock=clock, new_id=new_id, source="gateway"),
        ring,
        keys_runner,
        plans,
        catalog,
        newest_pepper=peppers.newest,
        clock=clock,
        new_id=new_id,
    )
    rotations = _Rotations(
        PepperRotation(peppers, log.bucket(SECRETS), secrets, ring.pepper_ids, new_id=new_id, clock=clock),
        masters
        and MasterRotation(
            masters,
            log.bucket(SECRETS),
            log.bucket(LEASES),
            holder=settings.gateway_id,  # the journal's lock lets only one of that name live
            clock=clock,
            rewrap_more=rewrap_more,
        ),
    )
    data_plane = DataPlane(
        keys=ring,
        peppers=peppers,
        plans=plans,
        catalog=catalog,
        health=health,
        completions=completions,
        journal=_WakingJournal(journal, outbox),
        refusals=RefusalCap(),
        clock=clock,
        new_id=new_id,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
        positions=lambda: {LR_CONFIG: keys_runner.sequence, LR_HEALTH: health.sequence},
        loopback_key=settings.loopback_key,
    )

    watchers = [
        BucketWatcher(log.bucket(bucket), apply, snapshots=snapshots.within(bucket))
        for bucket, apply in ((CATALOG, catalog.apply), (PLANS, plans.apply))
    ]

    def problems() -> list[str]:
        away = watch.away_for_s()
        cut_off = [f"cut off from the event log for {away:.0f} s"] if away > settings.cut_off_after_s else []
        missing = peppers.missing(ring.pepper_ids())
        blind = [problem for watcher in watchers for problem in watcher.problems()]
        return [*cut_off, *blind, *missing, *ring.problems(), *plans.problems(), *catalog.problems()]

    def not_ready() -> list[str]:
        unwritten = [] if journal.problem is None else [journal.problem]
        return [*unwritten, *keys_runner.problems(), *health_runner.problems(), *problems()]

    on_loopback = settings.host in LOOPBACK

    def refuse() -> str | None:
        if on_loopback or (away := watch.away_for_s()) <= settings.cut_off_after_s:
            return None
        return f"This gateway is cut off from its log for {away:.0f} s and cannot know which keys still hold."

    def log_state() -> dict[str, Any]:
        return {"connected": log.connected(), "away_s": watch.away_for_s(), "waiting_bytes": journal.waiting_bytes()}

    async def own_readiness() -> list[str]:
        return not_ready()

    registry = _registry(journal, data_plane, watch)

    def degraded() -> list[str]:
        refused = outbox.refused_for_s()
        if refused < _REFUSED_S or not log.connected():
            return problems()
        # nats-server 2.15 writes no more to a stream that once found no room, though it answers
        told = f"the event log has taken no usage for {refused:.0f} s: if its disk was full, start NATS again"
        return [told, *problems()]

    health_view = HealthView(catalog, health, {"gateway": own_readiness, **readiness}, degraded, log_state)
    app = PublicApp(
        data_plane=data_plane,
        admin={
            **_admin_of(services),
            **_own_admin(keys, health_view, rotations),
            "backup": backup_app(backup),
        },
        metrics=metrics_app(registry, *registries),
        hosts=Hosts([*settings.allowed_hosts, *_own_names(settings.host)]),
        origins=Origins(settings.cors_origins),
        admin_token=admin_token,
        not_ready=not_ready,
        refuse=refuse,
        body_timeout_s=settings.body_timeout_s,
        metrics_token=metrics_token,
    )
    parts: list[Part] = [
        *remote,
        peppers,
        *watchers,
        keys_runner,
        health_runner,
        rotations,
        watch,
        outbox,
        Adoption(settings.journal, log, interrupted),
    ]

    async def first_key() -> Secret | None:
        if ring.ever_created:
            return None
        options = KeyOptions(name="", target=(await keys.settings()).state.default_target)
        made = await keys.make(options, actor="first start")
        if isinstance(made, Refusal):
            raise StartRefused(f"the first key could not be made: {made.message}")
        return made[1]

    def drain() -> None:
        data_plane.draining = True

    service = Service(name="gateway", app=app, parts=parts, not_ready=not_ready, registry=registry)
    return Gateway(service, first_key, lambda: ring.ever_created > 0, drain)


class _Rotations:
    """What rotates, as one part of the service."""

    def __init__(self, pepper: PepperRotation, master: MasterRotation | None) -> None:
        self.pepper = pepper
        self._master = master

    async def start(self) -> None:
        await self.pepper.start()
        if self._master is not None:
            await self._master.start()

    async def stop(self) -> None:
        if self._master is not None:
            await self._master.stop()
        await self.pepper.stop()

    async def rotate_master(self) -> Rotated | Refusal:
        if self._master is None:
            return Refusal("master_key_given", "the master key is not this process's to replace")
        return await self._master.rotate()


class _WakingJournal:
    """The journal of the data plane: what is written is also to be synced and shipped."""

    def __init__(self, journal: Journal, outbox: Outbox) -> None:
        self._journal = journal
        self._wake = outbox.wake

    @property
    def full(self) -> bool:
        return self._journal.full

    def opened(self, request_id: str, opened: bytes) -> None:
        try:
            self._journal.opened(request_id, opened)
        finally:  # without room it is the outbox that tries again
            self._wake()

    def closed(self, request_id: str, record: bytes) -> None:
        self._journal.closed(request_id, record)
        self._wake()


def _admin_of(services: Mapping[str, App]) -> dict[str, App]:
    return {resource: app for name, app in services.items() for resource in OWNERS[name]}


def _own_admin(keys: Keys, health: HealthView, rotations: _Rotations) -> dict[str, App]:
    def load() -> App:
        from services.gateway.api.admin import build as build_admin
        from services.gateway.api.secrets import Rotations

        return build_admin(keys, health, Rotations(rotations.pepper.rotate, rotations.rotate_master))

    admin = LazyApp(load)
    return {"keys": admin, "settings": admin, "secrets": admin, "health": admin, "openapi.json": _openapi}


async def _openapi(_: Scope, __: Receive, send: Send) -> None:
    document = (Path(__file__).parent / "api" / "openapi.json").read_bytes()
    await respond(send, 200, document, b"application/json")


def _own_names(host: str) -> list[str]:
    """Return the machine's own names and addresses where it listens on them."""
    if host in LOOPBACK:
        return []
    names = [host, socket.gethostname(), socket.getfqdn()]
    with contextlib.suppress(OSError):
        names += [str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None)]
    return names


def _registry(journal: Journal, data_plane: DataPlane, watch: LogWatch) -> CollectorRegistry:
    registry = CollectorRegistry()
    gauges: Mapping[str, tuple[str, Callable[[], float]]] = {
        "localrouter_requests_running": ("Requests being answered now.", lambda: data_plane.running),
        "localrouter_outbox_records": (
            "Records in the journal that the log has not yet.",
            lambda: journal.waiting_records,
        ),
        "localrouter_outbox_bytes": ("Journal that the log has not yet.", journal.waiting_bytes),
        "localrouter_journal_full": ("1: the journal takes no more, and requests are refused.", lambda: journal.full),
        "localrouter_log_away_seconds": ("For how long the event log has not answered.", watch.away_for_s),
        "localrouter_disk_free_bytes": ("Free where the journal is.", lambda: shutil.disk_usage(journal.folder).free),
        "localrouter_disk_bytes": (
            "Size of the disk the journal is on.",
            lambda: shutil.disk_usage(journal.folder).total,
        ),
    }
    for name, (text, read) in gauges.items():
        Gauge(name, text, registry=registry).set_function(read)
    return registry
