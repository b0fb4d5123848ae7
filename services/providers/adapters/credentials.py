"""The credentials of providers: unsealed once and kept in memory, or taken from the environment, never shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from services.providers.adapters.oauth_sessions import OAuthSessions
from services.providers.domain.ports import Secrets
from services.providers.domain.provider import ENVIRONMENT, OAUTH_PREFIX, Credential, secret_context
from services.providers.domain.registry import VENDORS
from services.providers.domain.standing import IN_USE, Standing, after, cooled
from services.providers.projections.providers import ProviderView
from shared.contracts.catalog import CredentialHealthChanged
from shared.contracts.frames import Fail, FailureKind
from shared.kernel.clock import Clock
from shared.kernel.errors import LogError, SealBroken
from shared.kernel.secrets import Secret, wipe

log = structlog.get_logger("providers")


@dataclass(frozen=True, slots=True)
class Usable:
    """A credential that can be sent."""

    id: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class Absent:
    """Why a provider that has credentials has none to send now; ``until``: when it has one again."""

    reason: str
    until: datetime | None = None


Told = Callable[[ProviderView, str, str, Standing], None]
"""Takes the provider, the id and fingerprint of a credential, and how it stands from now on."""


class Credentials:
    """Finds the credential to send, and knows how each stands: one that a vendor refused is sent no more until it
    changes or is tested by hand, one whose rate is limited rests."""

    def __init__(
        self,
        secrets: Secrets,
        environ: Mapping[str, str],
        *,
        clock: Clock,
        told: Told,
        sessions: OAuthSessions | None = None,
    ) -> None:
        """``told`` learns of every change of a standing that was seen here, ``sessions`` renew what was signed in."""
        self._secrets = secrets
        self._environ = environ
        self._clock = clock
        self._told = told
        self._sessions = sessions
        self._known: dict[str, Usable] = {}
        self._standings: dict[tuple[str, str], Standing] = {}

    async def of(self, view: ProviderView, pinned: str | None = None) -> Usable | None:
        """Return the credential to send for a provider, or None: see ``absent``. ``pinned``: this one, however it
        stands."""
        for identity in self._ids(view) if pinned is None else (pinned,):
            if pinned is not None or self.standing(view, identity).state == "in_use":
                usable = await self._usable(view, identity)
                if usable is not None:
                    return usable
        return None

    async def all(self, view: ProviderView) -> list[Usable]:
        """Return every credential of a provider that opens, however it stands."""
        found = [await self._usable(view, identity) for identity in self._ids(view)]
        return [usable for usable in found if usable is not None]

    def absent(self, view: ProviderView) -> Absent | None:
        """Return why none of a provider's credentials can be sent now; None: it has none, or one that stands well."""
        standings = [self.standing(view, identity) for identity in self._ids(view)]
        if not standings or any(standing.state == "in_use" for standing in standings):
            return None
        untils = [standing.until for standing in standings if standing.until is not None]
        return Absent(standings[0].reason, min(untils, default=None))

    def failed(self, view: ProviderView, credential: Usable, fail: Fail) -> bool:
        """Note that an attempt with a credential failed; returns whether it is out now and another can be sent."""
        credential_id = credential.id
        stored = view.credentials.get(credential_id)
        if (
            fail.kind is FailureKind.AUTHENTICATION
            and self._sessions is not None
            and stored is not None
            and self._sessions.refused(stored.secret_id, credential.secret.reveal())
        ):
            return True  # its access token is renewed at the next attempt
        others = any(
            self.standing(view, identity).state == "in_use" for identity in self._ids(view) if identity != credential_id
        )
        before = self.standing(view, credential_id)
        self._stands(view, credential_id, after(before, fail, self._clock.now(), alone=not others))
        return others and self.standing(view, credential_id).state != "in_use"

    def cool(self, view: ProviderView, credential_id: str, until: datetime, reason: str) -> None:
        """Do not send a credential before ``until``."""
        self._stands(view, credential_id, cooled(self.standing(view, credential_id), until, reason))

    def accepted(self, view: ProviderView, credential_id: str) -> None:
        """The vendor took a credential: it is not rejected any more; one that cools does so still."""
        stored = view.credentials.get(credential_id)
        if self._sessions is not None and stored is not None:
            self._sessions.accepted(stored.secret_id)
        if self.standing(view, credential_id).state == "rejected":
            self._stands(view, credential_id, IN_USE)

    def tell(self, view: ProviderView, told: CredentialHealthChanged) -> None:
        """Take over what another process, or an earlier run of this one, saw of a credential's value."""
        if self.fingerprint(view, told.credential_id) == told.fingerprint:
            self._standings[view.id, told.credential_id] = Standing(told.state, told.until, told.reason)

    def renew(self, view: ProviderView) -> None:
        """A provider was changed: what its vendor refused it may take now."""
        for identity in self._ids(view):
            self.accepted(view, identity)

    def forget(self, credential_id: str) -> None:
        """Drop what is in memory of a credential that is gone."""
        self._known.pop(credential_id, None)
        for key in [key for key in self._standings if key[1] == credential_id]:
            del self._standings[key]

    def standing(self, view: ProviderView, credential_id: str) -> Standing:
        """Return how a credential stands now."""
        return self._standings.get((view.id, credential_id), IN_USE).at(self._clock.now())

    def fingerprint(self, view: ProviderView, credential_id: str) -> str | None:
        """Return the fingerprint of a credential, None where there is none of that id."""
        if credential_id == ENVIRONMENT:
            return self.environment_fingerprint(view)
        stored = view.credentials.get(credential_id)
        return None if stored is None else stored.fingerprint

    def environment_fingerprint(self, view: ProviderView) -> str | None:
        """Return the fingerprint of the key that the environment brings; None: it brings none, or one is stored."""
        usable = None if view.credentials else self._from_environment(view)
        return None if usable is None else usable.secret.fingerprint()

    def _ids(self, view: ProviderView) -> list[str]:
        if view.credentials:
            return list(view.credentials)
        return [] if self._from_environment(view) is None else [ENVIRONMENT]

    def _stands(self, view: ProviderView, credential_id: str, standing: Standing) -> None:
        if standing == self._standings.get((view.id, credential_id), IN_USE):
            return
        fingerprint = self.fingerprint(view, credential_id)
        if fingerprint is None:
            return  # it is gone meanwhile
        self._standings[view.id, credential_id] = standing
        log.warning(
            "credential", provider=view.spec.slug, credential=credential_id, state=standing.state, why=standing.reason
        )
        self._told(view, credential_id, fingerprint, standing)

    async def _usable(self, view: ProviderView, credential_id: str) -> Usable | None:
        if credential_id == ENVIRONMENT:
            return self._from_environment(view)
        stored = view.credentials.get(credential_id)
        if stored is None:
            return None
        if stored.secret_id.startswith(OAUTH_PREFIX):
            return await self._signed_in(view, stored)
        return self._known.get(stored.id) or await self._open(view, stored.id, stored.secret_id)

    def _from_environment(self, view: ProviderView) -> Usable | None:
        vendor = VENDORS[view.spec.vendor]
        # A vendor's key goes to that vendor alone, never to another address that a provider was given.
        if vendor.environment is None or view.spec.base_url != vendor.base_url:
            return None
        value = self._environ.get(vendor.environment, "").strip()
        return Usable(ENVIRONMENT, Secret(value)) if value else None

    async def _signed_in(self, view: ProviderView, stored: Credential) -> Usable | None:
        try:
            if self._sessions is None:
                raise KeyError(stored.secret_id)
            token = await self._sessions.token(stored.secret_id, context=secret_context(view.id, stored.id))
        except (KeyError, SealBroken, LogError) as error:
            log.error("sign-in does not open", provider=view.spec.slug, credential=stored.id, error=str(error))
            return None
        return None if token is None else Usable(stored.id, Secret(token))

    async def _open(self, view: ProviderView, credential_id: str, secret_id: str) -> Usable | None:
        try:
            value = await self._secrets.get(secret_id, context=secret_context(view.id, credential_id))
        except (KeyError, SealBroken) as error:
            log.error("credential does not open", provider=view.spec.slug, credential=credential_id, error=str(error))
            return None
        usable = self._known[credential_id] = Usable(credential_id, Secret(value.decode()))
        wipe(value)
        return usable
