"""Takes ``lr_catalog`` into the world: every provider's models."""

from typing import Final

import msgspec

from services.router.domain.concern import Change, changes
from services.router.domain.world import World
from shared.contracts.catalog import ProviderCatalog
from shared.log.port import Entry

_DECODER: Final = msgspec.json.Decoder(ProviderCatalog)


class CatalogView:
    """Keeps ``world`` as the bucket says; a catalog that does not read leaves its provider's models as they were."""

    def __init__(self, world: World) -> None:
        self.broken: dict[str, str] = {}
        """Provider ids whose catalog does not read, and why."""
        self._world = world

    def apply(self, entry: Entry) -> dict[str, Change]:
        """Take one entry and return the models that are new, different or gone, as far as plans go."""
        world = self._world
        world.catalog_revision = max(world.catalog_revision, entry.revision)
        before = world.catalogs.get(entry.key)
        self.broken.pop(entry.key, None)
        if entry.value is None:
            world.catalogs.pop(entry.key, None)
            return changes(before, None)
        try:
            after = _DECODER.decode(entry.value)
        except msgspec.DecodeError as error:
            self.broken[entry.key] = str(error)
            return {}
        world.catalogs[entry.key] = after
        return changes(before, after)
