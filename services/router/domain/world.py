"""The world as the router knows it: routers, who uses them, and every provider's models."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from shared.contracts.catalog import Model, ProviderCatalog
from shared.contracts.config import RouterSpec
from shared.contracts.speed import Mix, Speed
from shared.routing.scoring import Evidence


class RouterView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A router that exists."""

    id: str
    spec: RouterSpec
    version: int
    """The number of its events."""
    sequence: int
    """Where its last event stands in ``LR_CONFIG``."""
    default: bool = False


class KeyView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key refers to."""

    name: str
    routers: tuple[str, ...] = ()
    """Slugs, of its target and of its allow-list."""


@dataclass(slots=True)
class World:
    """Filled by the projections, read by the compiler and the admin API."""

    routers: dict[str, RouterView] = field(default_factory=dict[str, RouterView])
    frozen: dict[str, str] = field(default_factory=dict[str, str])
    """Router ids with an event that does not read, and why: such a router keeps its last plan."""
    keys: dict[str, KeyView] = field(default_factory=dict[str, KeyView])
    default_router: str | None = None
    """The slug that the settings send new keys to, where it was set."""
    providers: dict[str, str] = field(default_factory=dict[str, str])
    """Slugs of the providers that exist, by id."""
    catalogs: dict[str, ProviderCatalog] = field(default_factory=dict[str, ProviderCatalog])
    """By provider id."""
    catalog_revision: int = 0
    speeds: dict[str, Speed] = field(default_factory=dict[str, Speed])
    """By ``<provider>/<model>``."""
    mixes: dict[str, Mix] = field(default_factory=dict[str, Mix])
    """By a router's slug."""
    speed_sequence: int = 0
    """Where the last measurement stands in ``LR_FACTS``."""

    def find(self, name: str) -> RouterView | None:
        """Return the router with this id or slug."""
        found = self.routers.get(name)
        if found is not None:
            return found
        return next((router for router in self.routers.values() if router.spec.slug == name), None)

    def evidence(self, slug: str) -> Evidence:
        """Return what was measured, for the router ``slug``."""
        return Evidence(self.speeds, self.mixes.get(slug))

    def inputs(self, sequence: int) -> dict[str, int]:
        """Return the positions of what a plan is made from; ``sequence``: where the router's last event stands."""
        return {"LR_CONFIG": sequence, "lr_catalog": self.catalog_revision, "LR_FACTS": self.speed_sequence}

    def users_of(self, slug: str) -> tuple[str, ...]:
        """Return who refers to the router ``slug``, in words."""
        keys = sorted(f"key {key.name}" for key in self.keys.values() if slug in key.routers)
        return (*keys, "the default target") if slug == self.default_router else tuple(keys)

    def models(self) -> Iterator[Model]:
        """Yield every model of every provider."""
        for catalog in list(self.catalogs.values()):
            yield from catalog.models

    def unknown_models(self, model_ids: tuple[str, ...]) -> list[str]:
        """Return those of ``model_ids`` that cannot be right: no such provider, or a fresh catalog without them."""
        by_slug = {catalog.provider: catalog for catalog in self.catalogs.values()}
        existing = set(self.providers.values())
        unknown: list[str] = []
        for model_id in model_ids:
            slug = model_id.partition("/")[0]
            catalog = by_slug.get(slug)
            if catalog is None:
                if slug not in existing:
                    unknown.append(model_id)
            elif not _may_list(catalog, model_id):
                unknown.append(model_id)
        return unknown


def _may_list(catalog: ProviderCatalog, model_id: str) -> bool:
    uncertain = catalog.stale or catalog.refreshed_at is None
    return uncertain or any(model.id == model_id for model in catalog.models)
