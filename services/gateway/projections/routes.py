"""Plans, catalog and health as the log last told them: what ``model`` in a request can mean, and who is well."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from shared.contracts.catalog import HealthChanged, Model, ProviderCatalog
from shared.contracts.plan import Plan, decode_plan
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_HEALTH, Entry, Recorded
from shared.routing.health import HealthOverlay, ProviderHealth

_CATALOG: Final = msgspec.json.Decoder(ProviderCatalog)


class Plans:
    """The newest plan of every router."""

    def __init__(self) -> None:
        self.generation = 0
        self._by_router: dict[str, Plan] = {}
        self._by_slug: dict[str, Plan] = {}
        self._broken: dict[str, str] = {}

    def apply(self, entry: Entry) -> None:
        """Take one entry of ``lr_plans``; a plan that does not read leaves the last one in place."""
        try:
            plan = None if entry.value is None else decode_plan(entry.value)
        except ContractBroken as error:
            self._broken[entry.key] = str(error)
            return
        self._broken.pop(entry.key, None)
        self.generation += 1
        old = self._by_router.pop(entry.key, None)
        if old is not None and self._by_slug.get(old.slug) is old:
            del self._by_slug[old.slug]
        if plan is not None:
            self._by_router[entry.key] = plan
            self._by_slug[plan.slug] = plan

    def get(self, slug: str) -> Plan | None:
        """Return the plan of the router with this slug."""
        return self._by_slug.get(slug)

    def all(self) -> Iterable[Plan]:
        """Return every plan."""
        return self._by_slug.values()

    def problems(self) -> list[str]:
        """Return the plans that do not read, in sentences."""
        return [f"the plan of router {key} does not read: {why}" for key, why in self._broken.items()]


class Catalog:
    """Every model of every provider that is switched on."""

    def __init__(self) -> None:
        self.generation = 0
        self._providers: dict[str, ProviderCatalog] = {}
        self._models: dict[str, Model] = {}
        self._by_native_id: dict[str, list[Model]] = {}
        self._by_alias: dict[str, list[Model]] = {}
        self._broken: dict[str, str] = {}

    def apply(self, entry: Entry) -> None:
        """Take one entry of ``lr_catalog``."""
        try:
            found = None if entry.value is None else _CATALOG.decode(entry.value)
        except msgspec.DecodeError as error:
            self._broken[entry.key] = str(error)
            return
        self._broken.pop(entry.key, None)
        self.generation += 1
        if found is None:
            self._providers.pop(entry.key, None)
        else:
            self._providers[entry.key] = found
        self._index()

    def get(self, model_id: str) -> Model | None:
        """Return a model by ``<provider>/<native id>``."""
        return self._models.get(model_id)

    def named(self, native_id: str) -> list[Model]:
        """Return the model that has this alias, else the models that some vendor knows by this id."""
        return self._by_alias.get(native_id) or self._by_native_id.get(native_id, [])

    def all(self) -> Iterable[Model]:
        """Return every model, sorted by id."""
        return self._models.values()

    def providers(self) -> Iterable[ProviderCatalog]:
        """Return the catalogs by provider."""
        return self._providers.values()

    def problems(self) -> list[str]:
        """Return the catalogs that do not read, in sentences."""
        return [f"the catalog of provider {key} does not read: {why}" for key, why in self._broken.items()]

    def _index(self) -> None:
        models = [model for catalog in self._providers.values() for model in catalog.models]
        self._models = {model.id: model for model in sorted(models, key=lambda model: model.id)}
        self._by_native_id = {}
        for model in self._models.values():
            self._by_native_id.setdefault(model.native_id, []).append(model)
        self._by_alias = {alias: [model] for model in self._models.values() for alias in model.aliases}


class Health:
    """The health overlay: the newest state of every provider."""

    name = "health"
    stream = LR_HEALTH
    subject = ""

    def __init__(self) -> None:
        self.sequence = 0
        """Where the last transition stands in ``LR_HEALTH``."""
        self._overlay = HealthOverlay()

    @property
    def states(self) -> dict[str, ProviderHealth]:
        """The newest state of every provider, by id."""
        return self._overlay.states

    @property
    def reasons(self) -> dict[str, str]:
        """Why each is in its state."""
        return self._overlay.reasons

    def apply(self, recorded: Recorded) -> None:
        """Take one transition; one of an older epoch, or one that does not read, changes nothing."""
        self.sequence = recorded.sequence
        if recorded.event is not None and isinstance(data := recorded.event.data, HealthChanged):
            self._overlay.take(data)

    def cool(self, provider_id: str, until: datetime) -> None:
        """Keep requests away from a provider until then: its vendor just said so to this gateway."""
        known = self.states.get(provider_id, ProviderHealth())
        self.states[provider_id] = ProviderHealth(known.health, known.breaker, until)

    def dump(self) -> bytes:
        """Return the whole state."""
        overlay = self._overlay
        return msgspec.msgpack.encode((overlay.states, overlay.reasons, overlay.epochs, self.sequence))

    def load(self, raw: bytes) -> None:
        """Replace the state by a dumped one."""
        try:
            states, reasons, epochs, self.sequence = _HEALTH.decode(raw)
        except msgspec.DecodeError as error:
            raise ContractBroken(f"not a dump of health: {error}") from error
        self._overlay = HealthOverlay(states, reasons, epochs)


_HEALTH: Final = msgspec.msgpack.Decoder(
    tuple[dict[str, ProviderHealth], dict[str, str], dict[str, tuple[int, int]], int]
)
