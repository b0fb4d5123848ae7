"""The catalog of every enabled provider: listed, enriched, priced, and put where all services watch it."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol

import msgspec
import structlog

from services.providers.adapters.vendor_api import VendorApi
from services.providers.domain.catalog import (
    Known,
    Listed,
    catalogued,
    next_page,
    read_list,
    read_tags,
    settled,
    with_show,
)
from services.providers.domain.registry import VENDORS
from services.providers.domain.search import ModelIndex
from services.providers.domain.vendor import Vendor
from services.providers.projections.providers import ProvidersFold, ProviderView
from shared.contracts.catalog import CatalogRefreshed, Model, Prices, PriceUnknown, ProviderCatalog
from shared.contracts.config import ProviderSpec
from shared.contracts.price_book import GENAI, Priced, listed_source
from shared.kernel.clock import Clock
from shared.kernel.errors import Conflict, LogError, Refusal
from shared.kernel.ids import NewId
from shared.log.facts import Facts
from shared.log.port import CATALOG, EventLog

_TRIES: Final = 5
_LIST_S: Final = 15.0
_SHOW_S: Final = 5.0
_PAGES: Final = 50
"""Of one list: more are not asked for."""
_AT_ONCE: Final = 4
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODER: Final = msgspec.json.Decoder(ProviderCatalog)

log = structlog.get_logger("providers")


class NotListed(Exception):
    """The vendor's list cannot be had; the message says why."""


class Lists(Protocol):
    """Public price lists."""

    @property
    def version(self) -> str:
        """The version of their data."""
        ...

    async def prices(self, vendor: str, models: list[str]) -> dict[str, Known]:
        """Return what is known of models, by model."""
        ...


class Costs(Protocol):
    """The price book."""

    def find(self, spec: ProviderSpec, provider_id: str, native_id: str) -> Priced | None:
        """Return what a provider's model costs, or None."""
        ...

    async def take(self, source: str, found: Mapping[str, Prices | None], *, origin: str = "") -> Refusal | None:
        """Note what a source says of models; raises LogError."""
        ...


class CatalogKeeper:
    """Refreshes catalogs at start, at an interval, when a provider changes and on demand."""

    def __init__(
        self,
        fold: ProvidersFold,
        api: VendorApi,
        lists: Lists,
        costs: Costs,
        log_: EventLog,
        *,
        aliases: Callable[[str], tuple[str, ...]],
        built_in: Listed | None,
        interval_s: float,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._fold = fold
        self._api = api
        self._lists = lists
        self._costs = costs
        self._aliases = aliases
        self._bucket = log_.bucket(CATALOG)
        self._built_in = built_in
        self._interval_s = interval_s
        self._clock = clock
        self._facts = Facts(log_, clock=clock, new_id=new_id, source="providers")
        self._changed: set[str] = set()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._known: dict[str, ProviderCatalog] = {}
        self._index: ModelIndex | None = None

    async def start(self) -> None:
        """Begin; what is known from before is there at once, the built-in model too."""
        for entry in await self._bucket.entries():
            if entry.value is not None and self._fold.get(entry.key) is not None:
                with contextlib.suppress(msgspec.DecodeError):
                    self._know(entry.key, _DECODER.decode(entry.value))
        for view in self._fold.all():
            if view.spec.vendor == "local":
                await self.refresh(view.id)
        self._task = asyncio.create_task(self._keep(), name="catalog")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def problems(self) -> list[str]:
        """Return why catalogs are not kept; empty: they are."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            return [f"the catalog keeper stopped: {self._task.exception()}"]
        return []

    def changed(self, provider_id: str) -> None:
        """A provider was added, changed, removed, or answers again."""
        self._changed.add(provider_id)
        self._woken.set()

    def models(self) -> ModelIndex:
        """Return the models of every enabled provider."""
        if self._index is None:
            self._index = ModelIndex(model for known in self._known.values() for model in known.models)
        return self._index

    def _know(self, provider_id: str, catalog: ProviderCatalog | None) -> None:
        """Keep a provider's catalog, or none."""
        if catalog != self._known.get(provider_id):
            self._index = None
        if catalog is None:
            self._known.pop(provider_id, None)
        else:
            self._known[provider_id] = catalog

    def of(self, provider_id: str) -> ProviderCatalog | None:
        """Return the catalog of a provider."""
        return self._known.get(provider_id)

    def stale(self, provider_id: str) -> bool:
        """Whether a provider's models are the last known, because its vendor does not answer."""
        known = self._known.get(provider_id)
        return known is not None and known.stale

    async def refresh_all(self) -> None:
        """Refresh every provider, a few at a time; what fails is logged."""
        ids = {view.id for view in self._fold.all()} | {entry.key for entry in await self._bucket.entries()}
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(provider_id: str) -> None:
            async with limit:
                await self.refresh(provider_id)

        await asyncio.gather(*(one(provider_id) for provider_id in sorted(ids)))

    async def refresh(self, provider_id: str) -> None:
        """Refresh one provider; its catalog goes when it is gone or disabled."""
        view = self._fold.get(provider_id)
        try:
            if view is None or not view.spec.enabled:
                self._know(provider_id, None)
                await self._bucket.purge(provider_id)
                return
            await self._put(view, *await self._look(view))
        except LogError as error:
            log.warning("catalog not written", provider=provider_id, error=str(error))

    async def _look(self, view: ProviderView) -> tuple[tuple[Model, ...], bool]:
        """Return the models, and whether they are the last known because the vendor does not answer."""
        vendor = VENDORS[view.spec.vendor]
        stale = False
        try:
            listed = await self._list(view)
        except NotListed as error:
            log.info("models not listed", provider=view.spec.slug, why=str(error))
            known = self._known.get(view.id)
            if known is not None and known.models and known.provider == view.spec.slug:
                return settled(known.models, view.spec, self._costs_of(view), self._aliases), True
            listed, stale = [], not view.spec.options.models
        listed += [Listed(native_id=name) for name in view.spec.options.models]
        listed = list({item.native_id: item for item in reversed(listed)}.values())
        windows = await self._learn(view, vendor, listed)
        models = catalogued(
            listed,
            provider_id=view.id,
            spec=view.spec,
            vendor=vendor,
            windows=windows,
            costs=self._costs_of(view),
            aliases=self._aliases,
        )
        return models, stale

    async def _learn(self, view: ProviderView, vendor: Vendor, listed: list[Listed]) -> dict[str, int | None]:
        """Note what the vendor's list and public ones say of prices; returns the context windows of the latter."""
        if told := {item.native_id: item.prices for item in listed if item.prices is not None}:
            await self._costs.take(listed_source(vendor.slug, view.id), told, origin=view.spec.base_url)
        if vendor.price_book is None or not listed:
            return {}
        known = await self._lists.prices(vendor.price_book, [item.native_id for item in listed])
        public = {f"{vendor.slug}/{name}": model.prices for name, model in known.items()}
        await self._costs.take(GENAI, public, origin=self._lists.version)
        return {name: model.context_window for name, model in known.items()}

    def _costs_of(self, view: ProviderView) -> Callable[[str], Priced | None]:
        return partial(self._costs.find, view.spec, view.id)

    async def settle(self) -> None:
        """Bring every catalog to what the price book says now, without a question to any vendor."""
        for view in self._fold.all():
            known = self._known.get(view.id)
            if known is not None and view.spec.enabled and known.provider == view.spec.slug:
                await self._put(
                    view, settled(known.models, view.spec, self._costs_of(view), self._aliases), known.stale
                )

    async def _list(self, view: ProviderView) -> list[Listed]:
        vendor = VENDORS[view.spec.vendor]
        if vendor.slug == "local":
            return [] if self._built_in is None else [self._built_in]
        if vendor.models_path is None:
            return []
        try:
            if vendor.speech != "ollama_chat":
                return await self._pages(view, vendor.models_path)
            body = await self._api.get(view, vendor.models_path, limit_s=_LIST_S)
            return await asyncio.gather(*(self._shown(view, model) for model in read_tags(body)))
        except (OSError, ValueError) as error:
            raise NotListed(str(error) or type(error).__name__) from error

    async def _pages(self, view: ProviderView, first: str) -> list[Listed]:
        listed: dict[str, Listed] = {}
        path = first
        for _ in range(_PAGES):
            body = await self._api.get(view, path, limit_s=_LIST_S)
            before = len(listed)
            listed |= {model.native_id: model for model in read_list(body)}
            following = next_page(first, body)
            if following is None or len(listed) == before:
                break
            path = following
        return list(listed.values())

    async def _shown(self, view: ProviderView, model: Listed) -> Listed:
        try:
            body = await self._api.post(view, "/api/show", {"model": model.native_id}, limit_s=_SHOW_S)
        except (OSError, ValueError):
            return model
        return with_show(model, body)

    async def _put(self, view: ProviderView, models: tuple[Model, ...], stale: bool) -> None:
        for _ in range(_TRIES):
            entry = await self._bucket.get(view.id)
            before = None
            if entry is not None and entry.value is not None:
                with contextlib.suppress(msgspec.DecodeError):
                    before = _DECODER.decode(entry.value)
            if before is not None and (before.models, before.stale, before.provider) == (models, stale, view.spec.slug):
                self._know(view.id, before)
                return
            last = before.refreshed_at if before is not None else None
            catalog = ProviderCatalog(
                provider_id=view.id,
                provider=view.spec.slug,
                models=models,
                refreshed_at=last if stale else self._clock.now(),
                stale=stale,
            )
            try:
                revision = await self._bucket.put(view.id, _ENCODE(catalog), expected=entry.revision if entry else 0)
            except Conflict:
                continue
            self._know(view.id, catalog)
            await self._announce(before, catalog, revision)
            return
        log.warning("catalog too contended", provider=view.spec.slug)

    async def _announce(self, before: ProviderCatalog | None, after: ProviderCatalog, revision: int) -> None:
        old = {model.id: model for model in before.models} if before else {}
        new = {model.id: model for model in after.models}
        data = CatalogRefreshed(
            provider_id=after.provider_id,
            provider=after.provider,
            added=tuple(sorted(new.keys() - old.keys())),
            removed=tuple(sorted(old.keys() - new.keys())),
            changed=tuple(sorted(key for key in new.keys() & old.keys() if new[key] != old[key])),
            revision=revision,
        )
        await self._facts.publish(f"lr.facts.catalog.{after.provider_id}", data, about=f"catalog/{after.provider_id}")
        unknown = sorted(key for key, model in new.items() if model.prices is None and _priced(old.get(key)))
        if unknown:
            tells = PriceUnknown(provider_id=after.provider_id, provider=after.provider, models=tuple(unknown))
            await self._facts.publish(
                f"lr.facts.prices.{after.provider_id}", tells, about=f"catalog/{after.provider_id}"
            )
            log.warning("prices unknown", provider=after.provider, models=len(unknown), first=unknown[0])
        log.info("catalog refreshed", provider=after.provider, models=len(new), stale=after.stale)

    async def _keep(self) -> None:
        await self.refresh_all()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._woken.wait()
            self._woken.clear()
            changed, self._changed = self._changed, set()
            if changed:
                await asyncio.gather(*(self.refresh(provider_id) for provider_id in sorted(changed)))
            else:
                await self.refresh_all()


def _priced(model: Model | None) -> bool:
    """Whether a model's price was known, or the model was not: that it is unknown now is news."""
    return model is None or model.prices is not None
