"""The credentials of providers: unsealed once and kept in memory, or taken from the environment, never shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from services.providers.domain.ports import Secrets
from services.providers.domain.provider import secret_context
from services.providers.domain.registry import VENDORS
from services.providers.projections.providers import ProviderView
from shared.kernel.errors import SealBroken
from shared.kernel.secrets import Secret

ENVIRONMENT: Final = "environment"
"""The id of a credential that is an environment variable's."""

log = structlog.get_logger("providers")


@dataclass(frozen=True, slots=True)
class Usable:
    """A credential that can be sent."""

    id: str
    secret: Secret


class Credentials:
    """Finds the credential to send. One that a vendor refused goes last until it changes."""

    def __init__(self, secrets: Secrets, environ: Mapping[str, str]) -> None:
        self._secrets = secrets
        self._environ = environ
        self._known: dict[str, Usable] = {}
        self._rejected: set[str] = set()

    async def of(self, view: ProviderView, pinned: str | None = None) -> Usable | None:
        """Return the credential to send for a provider, or None where it has none that opens; ``pinned``: this one."""
        stored = view.credentials
        if pinned is not None:
            stored = {key: found for key, found in stored.items() if found.id == pinned}
            if not stored:
                return self._from_environment(view) if pinned == ENVIRONMENT else None
        if stored:
            for found in sorted(stored.values(), key=lambda item: item.id in self._rejected):
                usable = self._known.get(found.id) or await self._open(view, found.id, found.secret_id)
                if usable is not None:
                    return usable
            return None
        return self._from_environment(view)

    def reject(self, credential_id: str) -> None:
        """The vendor refused this credential."""
        self._rejected.add(credential_id)

    def has_another(self, view: ProviderView) -> bool:
        """Whether a provider has a credential that no vendor refused."""
        return any(found.id not in self._rejected for found in view.credentials.values())

    def accept(self, credential_id: str) -> None:
        """The vendor took this credential."""
        self._rejected.discard(credential_id)

    def forget(self, credential_id: str) -> None:
        """Drop what is in memory of a credential that is gone."""
        self._known.pop(credential_id, None)
        self._rejected.discard(credential_id)

    def state(self, credential_id: str) -> str:
        """Return ``ok`` or ``rejected``."""
        return "rejected" if credential_id in self._rejected else "ok"

    def environment_fingerprint(self, view: ProviderView) -> str | None:
        """Return the fingerprint of the key that the environment brings; None: it brings none, or one is stored."""
        usable = None if view.credentials else self._from_environment(view)
        return None if usable is None else usable.secret.fingerprint()

    def _from_environment(self, view: ProviderView) -> Usable | None:
        vendor = VENDORS[view.spec.vendor]
        # A vendor's key goes to that vendor alone, never to another address that a provider was given.
        if vendor.environment is None or view.spec.base_url != vendor.base_url:
            return None
        value = self._environ.get(vendor.environment, "").strip()
        return Usable(ENVIRONMENT, Secret(value)) if value else None

    async def _open(self, view: ProviderView, credential_id: str, secret_id: str) -> Usable | None:
        try:
            value = await self._secrets.get(secret_id, context=secret_context(view.id, credential_id))
        except (KeyError, SealBroken) as error:
            log.error("credential does not open", provider=view.spec.slug, credential=credential_id, error=str(error))
            return None
        usable = self._known[credential_id] = Usable(credential_id, Secret(value.decode()))
        return usable
