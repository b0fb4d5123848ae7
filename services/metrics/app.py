"""The composition root of metrics: the whole wiring on one screen."""

from typing import Final

from services.metrics.adapters.access_log import AccessLog
from services.metrics.adapters.consumer import Consumer
from services.metrics.adapters.database import Database
from services.metrics.adapters.databases import open_database
from services.metrics.adapters.explaining import Explainer
from services.metrics.adapters.letters import LedgerLetters
from services.metrics.adapters.measuring import Measuring
from services.metrics.adapters.queries import SqlLedger
from services.metrics.adapters.rebuild import Rebuild
from services.metrics.adapters.recent import RecentUsage
from services.metrics.adapters.repricing import Repricer
from services.metrics.adapters.writer import Writer
from services.metrics.api.prometheus import Prometheus
from services.metrics.domain.batches import Added
from services.metrics.projections.access import access_line
from services.metrics.projections.ledger import another, fold, read_entry, same
from services.metrics.projections.plans import PlanIndex
from services.metrics.settings import MetricsSettings
from shared.kernel.clock import Clock
from shared.kernel.ids import NewId
from shared.log.dead_letters import DeadLetters
from shared.log.folds import FoldRunner
from shared.log.port import LR_USAGE, EventLog
from shared.log.snapshots import SnapshotStore
from shared.runtime.asgi import App
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.lazy import LazyApp
from shared.runtime.service import InternalApp, Part, Service

_NEWEST: Final = 5_000
"""Requests that are measured at the start, so that it does not begin at nothing."""


def build(
    settings: MetricsSettings,
    *,
    log: EventLog,
    clock: Clock = SYSTEM_CLOCK,
    new_id: NewId = new_id,
    snapshots: SnapshotStore | None = None,
    token: str | None = None,
) -> Service:
    """Return the service; ``token`` is the service token its routes ask for, None in-process."""
    access_log = AccessLog(settings.logs, days=settings.access_days, clock=clock)

    database = open_database(settings.database)

    def writer(database: Database, access_log: AccessLog | None) -> Writer:
        return Writer(
            database,
            stream=LR_USAGE,
            clock=clock,
            access_log=access_log,
            line=access_line,
            same=same,
            another=another,
            read=read_entry,
        )

    plans = PlanIndex()
    measuring = Measuring(log, clock=clock, new_id=new_id, interval_s=settings.measured_every_s)
    recent = RecentUsage(clock)

    def warm(ledger: Writer) -> None:
        measuring.take(ledger.newest(_NEWEST))
        recent.take(ledger.minutes(recent.since()))

    def applied(added: Added) -> None:
        measuring.take(entry.request for entry in added.entries)
        recent.take(added.minutes)

    consumer = Consumer(
        settings,
        log=log,
        writer=lambda: writer(database, access_log),
        fold=fold,
        bury=DeadLetters(log).put,
        warm=warm,
        applied=applied,
    )
    ledger = SqlLedger(lambda: database.engine("read"))
    rebuild = Rebuild(
        log,
        clock=clock,
        database=database,
        writer=lambda other: writer(other, None),
        fold=fold,
        consumer=consumer,
        ledger=ledger,
    )

    def admin_app() -> App:
        from services.metrics.api.admin import admin

        explain, reprice = Explainer(log, plans).explain, Repricer(log, ledger).reprice
        letters = LedgerLetters(log, consumer=consumer, ledger=ledger)
        return admin(ledger, explain, reprice, recent.told, rebuild, letters)

    prometheus = Prometheus(lambda: consumer.counts, consumer.lag, consumer.look)
    admin = LazyApp(admin_app)
    routes: dict[str, App] = {
        "/admin/v1/usage": admin,
        "/admin/v1/requests": admin,
        "/admin/v1/reprice": admin,
        "/admin/v1/recent": admin,
        "/admin/v1/rebuild": admin,
        "/admin/v1/dead-letters": admin,
        "/metrics": prometheus,
    }
    plans_fold = FoldRunner(log, plans, snapshots=snapshots, essential=False)
    parts: list[Part] = [ledger, consumer, plans_fold, measuring, rebuild]
    return Service(
        name="metrics",
        app=InternalApp(routes, token=token, not_ready=consumer.not_ready),
        parts=parts,
        registry=prometheus.registry,
        not_ready=consumer.not_ready,
    )
