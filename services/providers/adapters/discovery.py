"""Looks for model servers on this machine: what answers is offered, never added."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from services.providers.adapters.vendor_api import VendorApi
from services.providers.domain.discovery import PLACES, Found, Place, recognised
from services.providers.domain.registry import VENDORS
from services.providers.projections.providers import ProviderView
from shared.contracts.config import ProviderSpec

_LIMIT_S: Final = 1.0


class Discovery:
    """Asks every usual place for its models."""

    def __init__(self, api: VendorApi, places: Sequence[Place] | None = None) -> None:
        """``places``: where else to look than at the usual ones."""
        self._api = api
        self._places = PLACES if places is None else places

    async def look(self) -> list[Found]:
        """Return who answers now, within a second or so."""
        found = await asyncio.gather(*(self._look_at(place) for place in self._places))
        return [server for server in found if server is not None]

    async def _look_at(self, place: Place) -> Found | None:
        spec = ProviderSpec(slug=place.vendor, vendor=place.vendor, base_url=place.base_url, local=True)
        with contextlib.suppress(OSError, ValueError):
            path = VENDORS[place.vendor].models_path or ""
            return recognised(place, await self._api.get(ProviderView("", spec), path, limit_s=_LIMIT_S))
        return None
