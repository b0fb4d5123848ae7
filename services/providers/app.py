"""The composition root of the providers service: where ports meet adapters."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from services.providers.adapters.bootstrap import Bootstrap
from services.providers.adapters.catalog import CatalogKeeper
from services.providers.adapters.completions import UpstreamCompletions
from services.providers.adapters.credentials import Credentials
from services.providers.adapters.discovery import Discovery
from services.providers.adapters.health import HealthBoard
from services.providers.adapters.local_model import LISTED, BuiltInModel, installed
from services.providers.adapters.oauth_http import OAuthHttp
from services.providers.adapters.oauth_sessions import OAuthSessions
from services.providers.adapters.oauth_signins import SignIns
from services.providers.adapters.price_book import PublicPrices
from services.providers.adapters.price_keeper import PriceKeeper
from services.providers.adapters.prober import Prober
from services.providers.adapters.sweep import OrphanSweep
from services.providers.adapters.telling import HealthTeller
from services.providers.adapters.traffic import ProviderStates, TrafficWatch
from services.providers.adapters.upstream import Upstream
from services.providers.adapters.vendor_api import VendorApi
from services.providers.api.complete import complete_app
from services.providers.domain.ports import Secrets
from services.providers.projections.aliases import AliasesFold
from services.providers.projections.health import HealthFold
from services.providers.projections.prices import PricesFold
from services.providers.projections.providers import ProvidersFold, provider_of
from services.providers.settings import ProvidersSettings
from shared.contracts.config import CredentialRemoved, ProviderChanged
from shared.contracts.frames import Completions
from shared.kernel.clock import Clock
from shared.kernel.ids import NewId
from shared.log.aggregates import Aggregates
from shared.log.folds import FoldRunner
from shared.log.leases import Lease
from shared.log.port import LEASES, SECRETS, EventLog, Recorded
from shared.log.snapshots import SnapshotStore
from shared.runtime.asgi import App
from shared.runtime.lazy import LazyApp
from shared.runtime.metrics import metrics_app
from shared.runtime.service import InternalApp, Service

NAME = "providers"


@dataclass(frozen=True, slots=True)
class Providers:
    """The service, and what a gateway in the same process uses directly."""

    service: Service
    completions: Completions


def build(
    settings: ProvidersSettings,
    *,
    log: EventLog,
    secrets: Secrets,
    clock: Clock,
    new_id: NewId,
    snapshots: SnapshotStore,
    environ: Mapping[str, str],
    token: str | None,
    holder: str | None = None,
) -> Providers:
    """Put the service together; ``token`` None: its routes are reached in-process alone.

    ``holder`` names this process to the prober's lease where it may take over at once from a former self that was
    killed.
    """
    registry = CollectorRegistry()
    fold = ProvidersFold()
    aggregates = Aggregates(log, clock=clock, new_id=new_id, source=NAME)
    offered = settings.local_model and installed()
    model = BuiltInModel(idle_s=settings.local_model_idle_s, clock=clock)
    upstream = Upstream()
    last = HealthFold()
    teller = HealthTeller(last, log, clock=clock, new_id=new_id)
    oauth = OAuthHttp(upstream)
    sessions = OAuthSessions(secrets, log.bucket(LEASES), oauth, clock=clock, new_id=new_id)
    credentials = Credentials(secrets, environ, clock=clock, told=teller.credential, sessions=sessions)
    api = VendorApi(upstream, credentials, clock)
    lease = Lease(log.bucket(LEASES), "prober", holder or new_id(), clock=clock, gained=teller.fence)
    health = HealthBoard(fold, last, teller, credentials, clock=clock, leads=lambda: lease.held)
    price_fold = PricesFold()
    price_runner = FoldRunner(log, price_fold, snapshots=snapshots)
    aliases = AliasesFold()
    alias_runner = FoldRunner(log, aliases, snapshots=snapshots)
    prices = PriceKeeper(price_fold, price_runner, aggregates, clock)
    catalog = CatalogKeeper(
        fold,
        api,
        PublicPrices(settings.home / "price-book.json", clock),
        prices,
        log,
        aliases=aliases.of,
        built_in=LISTED if offered else None,
        interval_s=settings.catalog_interval_s,
        clock=clock,
        new_id=new_id,
    )
    prober = Prober(fold, health, api, credentials, lease, local_model=offered, clock=clock, recovered=catalog.changed)

    def changed(recorded: Recorded) -> None:
        provider_id = provider_of(recorded)
        if provider_id is None:
            return
        data = None if recorded.event is None else recorded.event.data
        view = fold.get(provider_id)
        if isinstance(data, CredentialRemoved):
            credentials.forget(data.credential_id)
        elif isinstance(data, ProviderChanged) and view is not None:
            credentials.renew(view)
        health.changed(provider_id)
        catalog.changed(provider_id)

    runner = FoldRunner(log, fold, snapshots=snapshots, changed=changed)
    follower = FoldRunner(log, last, snapshots=snapshots, changed=health.told, essential=False)
    bootstrap = Bootstrap(
        fold,
        runner,
        aggregates,
        new_id=new_id,
        environ=environ,
        local_model=offered,
        ollama_url=settings.ollama_url,
    )
    completions = UpstreamCompletions(
        find=fold.get,
        upstream=upstream,
        credentials=credentials,
        local_model=model if offered else None,
        traffic=TrafficWatch(health, registry),
        clock=clock,
    )
    registry.register(ProviderStates(fold, health))

    def admin_app() -> App:
        from services.providers.api.admin import admin
        from services.providers.api.oauth import OAuthDesk
        from services.providers.api.ports import Desk

        return admin(
            Desk(
                fold=fold,
                aggregates=aggregates,
                reached=runner.reached,
                secrets=secrets,
                health=health,
                probes=prober,
                catalog=catalog,
                prices=prices,
                aliases=aliases,
                alias_reached=alias_runner.reached,
                credentials=credentials,
                discovery=Discovery(api),
                oauth=OAuthDesk(SignIns(oauth, clock), sessions, clock=clock, new_id=new_id),
                new_id=new_id,
            )
        )

    def not_ready() -> list[str]:
        reasons = [
            *runner.problems(),
            *fold.frozen(),
            *price_runner.problems(),
            *alias_runner.problems(),
            *price_fold.frozen(),
            *catalog.problems(),
            *follower.problems(),
            *teller.problems(),
            *prober.problems(),
        ]
        return reasons if log.connected() else [*reasons, "the event log does not answer"]

    admin = LazyApp(admin_app)
    routes: dict[str, App] = {
        "/internal/v1/complete": complete_app(completions),
        "/metrics": metrics_app(registry),
        "/admin/v1/providers": admin,
        "/admin/v1/models": admin,
        "/admin/v1/vendors": admin,
    }
    sweep = OrphanSweep(fold, log.bucket(SECRETS), secrets, clock)
    service = Service(
        name=NAME,
        app=InternalApp(routes, token=token, not_ready=not_ready),
        parts=[
            upstream,
            runner,
            follower,
            price_runner,
            alias_runner,
            teller,
            health,
            lease,
            bootstrap,
            sweep,
            model,
            catalog,
            prober,
        ],
        registry=registry,
        not_ready=not_ready,
    )
    return Providers(service, completions)
