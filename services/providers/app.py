"""The composition root of the providers service: where ports meet adapters."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from services.providers.adapters.bootstrap import Bootstrap
from services.providers.adapters.completions import UpstreamCompletions
from services.providers.adapters.credentials import Credentials, Secrets
from services.providers.adapters.local_model import BuiltInModel, installed
from services.providers.adapters.traffic import TrafficWatch
from services.providers.adapters.upstream import Upstream
from services.providers.api.complete import complete_app
from services.providers.api.metrics import metrics_app
from services.providers.projections.providers import ProvidersFold
from services.providers.settings import ProvidersSettings
from shared.contracts.frames import Completions
from shared.kernel.clock import Clock
from shared.kernel.ids import NewId
from shared.log.aggregates import Aggregates
from shared.log.folds import FoldRunner
from shared.log.port import EventLog
from shared.log.snapshots import SnapshotStore
from shared.runtime.service import InternalApp, Service

NAME = "providers"


@dataclass(frozen=True, slots=True)
class Providers:
    """The service, and the port that a gateway in the same process uses directly."""

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
) -> Providers:
    """Put the service together; ``token`` None: its routes are reached in-process alone."""
    registry = CollectorRegistry()
    fold = ProvidersFold()
    runner = FoldRunner(log, fold, snapshots=snapshots)
    aggregates = Aggregates(log, clock=clock, new_id=new_id, source=NAME)
    model = BuiltInModel(idle_s=settings.local_model_idle_s, clock=clock)
    offered = settings.local_model and installed()
    upstream = Upstream()
    credentials = Credentials(secrets, environ)
    completions = UpstreamCompletions(
        find=fold.get,
        upstream=upstream,
        credentials=credentials,
        local_model=model if offered else None,
        traffic=TrafficWatch(registry),
        clock=clock,
    )
    bootstrap = Bootstrap(fold, runner, aggregates, new_id=new_id, environ=environ, local_model=offered)

    def not_ready() -> list[str]:
        reasons = [*runner.problems(), *fold.frozen()]
        return reasons if log.connected() else [*reasons, "the event log does not answer"]

    app = InternalApp(
        {"/internal/v1/complete": complete_app(completions), "/metrics": metrics_app(registry)},
        token=token,
        not_ready=not_ready,
    )
    parts = [upstream, runner, model, bootstrap]
    return Providers(Service(name=NAME, app=app, parts=[*parts], not_ready=not_ready), completions)
