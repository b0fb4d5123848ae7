"""What exists from the first start: Ollama, the built-in model, and a provider per vendor key of the environment."""

from collections.abc import Mapping
from typing import Final

import structlog

from services.providers.domain.provider import PROVIDER, AddProvider
from services.providers.domain.registry import VENDORS, environment_vendors
from services.providers.domain.vendor import Vendor
from services.providers.projections.providers import ProvidersFold
from shared.contracts.config import ProviderSpec
from shared.kernel.errors import Refusal
from shared.kernel.ids import NewId
from shared.log.aggregates import Aggregates
from shared.log.folds import FoldRunner

_DEFAULTS: Final = ("ollama",)

log = structlog.get_logger("providers")


class Bootstrap:
    """Adds what is not there and never was: a provider that was removed does not come back."""

    def __init__(
        self,
        fold: ProvidersFold,
        runner: FoldRunner,
        aggregates: Aggregates,
        *,
        new_id: NewId,
        environ: Mapping[str, str],
        local_model: bool,
        ollama_url: str | None = None,
    ) -> None:
        """``ollama_url``: where Ollama is, if not on this machine."""
        self._fold = fold
        self._runner = runner
        self._aggregates = aggregates
        self._new_id = new_id
        self._environ = environ
        self._local_model = local_model
        self._elsewhere = {"ollama": ollama_url}

    async def start(self) -> None:
        """Add them."""
        for slug in _DEFAULTS:
            await self._add(VENDORS[slug], "default")
        if self._local_model:
            await self._add(VENDORS["local"], "default")
        for vendor in environment_vendors():
            if vendor.environment is not None and self._environ.get(vendor.environment, "").strip():
                await self._add(vendor, "environment")

    async def stop(self) -> None:
        """Nothing to end."""

    async def _add(self, vendor: Vendor, actor: str) -> None:
        base_url = self._elsewhere.get(vendor.slug) or vendor.base_url
        if self._fold.seen(vendor.slug) or base_url is None:
            return
        spec = ProviderSpec(slug=vendor.slug, vendor=vendor.slug, base_url=base_url, local=vendor.local)
        identity = self._new_id()
        added = await self._aggregates.handle(PROVIDER, identity, AddProvider(identity, spec), actor=actor)
        if isinstance(added, Refusal):
            log.info("provider not added", provider=vendor.slug, why=added.message)
            return
        await self._runner.reached(added.sequence)
        log.info("provider added", provider=vendor.slug, actor=actor)
