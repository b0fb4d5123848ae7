"""The composition root of the router: the whole wiring on one screen."""

from services.router.adapters.compiler import Compiler
from services.router.adapters.defaults import DefaultRouters
from services.router.adapters.metrics import Metrics
from services.router.adapters.plans import PlanStore
from services.router.adapters.recorded import RecordedTraffic
from services.router.domain.strategies import STRATEGIES
from services.router.domain.world import World
from services.router.projections.catalog import CatalogView
from services.router.projections.configuration import ConfigurationFold, router_of
from services.router.projections.measured import MeasuredFold
from services.router.settings import RouterSettings
from shared.kernel.clock import Clock
from shared.kernel.ids import NewId
from shared.log.aggregates import Aggregates
from shared.log.folds import BucketWatcher, FoldRunner
from shared.log.leases import Lease
from shared.log.port import CATALOG, LEASES, LR_CONFIG, Entry, EventLog, Recorded
from shared.log.snapshots import SnapshotStore
from shared.runtime.asgi import App
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.lazy import LazyApp
from shared.runtime.metrics import metrics_app
from shared.runtime.service import InternalApp, Part, Service


def build(
    settings: RouterSettings,
    *,
    log: EventLog,
    snapshots: SnapshotStore | None = None,
    clock: Clock = SYSTEM_CLOCK,
    new_id: NewId = new_id,
    token: str | None = None,
    holder: str | None = None,
) -> Service:
    """Return the service; ``token`` is the service token its routes ask for, None in-process.

    ``holder`` names this process to the lease where it may take over at once from a former self that was killed.
    """
    world, metrics = World(), Metrics()
    aggregates = Aggregates(log, clock=clock, new_id=new_id, source="router")
    plans = PlanStore(log, clock=clock, new_id=new_id)
    lease = Lease(log.bucket(LEASES), "compiler", holder or new_id(), clock=clock)
    compiler = Compiler(
        world,
        plans,
        lease,
        metrics,
        strategies=STRATEGIES,
        burst_s=settings.burst_s,
        retry_s=settings.retry_s,
    )
    catalog = CatalogView(world)

    def configuration_changed(recorded: Recorded) -> None:
        router_id = router_of(recorded)
        if router_id is not None:
            compiler.router_changed(router_id)

    def catalog_changed(entry: Entry) -> None:
        changed = catalog.apply(entry)
        if changed:
            compiler.catalog_changed(changed)

    def measured_changed(_: Recorded) -> None:
        compiler.measured_changed(measured.mixed, quicker=measured.quicker, begins=measured.begins)

    measured = MeasuredFold(world)
    configuration = FoldRunner(log, ConfigurationFold(world), snapshots=snapshots, changed=configuration_changed)

    async def caught_up() -> None:
        await configuration.reached((await log.position(LR_CONFIG)).sequence)

    def admin_app() -> App:
        from services.router.api.admin import admin
        from services.router.api.desk import Routers

        routers = Routers(world, aggregates, new_id, configuration.reached, caught_up)
        return admin(routers, RecordedTraffic(log).since, clock)

    def not_ready() -> list[str]:
        broken = [f"the catalog of provider {key} does not read: {why}" for key, why in catalog.broken.items()]
        return [*configuration.problems(), *compiler.problems(), *broken]

    parts: list[Part] = [
        DefaultRouters(aggregates),
        configuration,
        FoldRunner(log, measured, snapshots=snapshots, changed=measured_changed),
        BucketWatcher(log.bucket(CATALOG), catalog_changed),
        lease,
        compiler,
    ]
    admin_routes = LazyApp(admin_app)
    routes: dict[str, App] = {
        "/admin/v1/routers": admin_routes,
        "/admin/v1/simulate": admin_routes,
        "/metrics": metrics_app(metrics.registry),
    }
    return Service(
        name="router",
        app=InternalApp(routes, token=token, not_ready=not_ready),
        parts=parts,
        not_ready=not_ready,
        registry=metrics.registry,
    )
