"""The ``provider`` aggregate: what may be decided about a provider and its credentials."""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final

from services.providers.domain.addresses import refused_address
from services.providers.domain.registry import VENDORS
from shared.contracts.config import (
    CredentialRemoved,
    CredentialSet,
    ProviderAdded,
    ProviderChanged,
    ProviderRemoved,
    ProviderSpec,
)
from shared.contracts.envelope import EventData
from shared.kernel.errors import Refusal
from shared.log.aggregates import Decider

_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_RESERVED: Final = frozenset({"router", "auto", "discover", "test"})
"""What means something else before the slash in a model's name, or in a path of the admin API."""
_FORBIDDEN_HEADERS: Final = frozenset(
    {"authorization", "api-key", "x-api-key", "x-goog-api-key", "proxy-authorization", "cookie", "host"}
    | {"content-length", "content-type", "connection", "transfer-encoding", "accept-encoding"}
)
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True)
class Credential:
    """A stored credential: where its secret is, and how to recognise it."""

    id: str
    secret_id: str
    fingerprint: str
    name: str


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as its events made it; ``spec`` None: it was never added, or removed."""

    spec: ProviderSpec | None = None
    removed: bool = False
    credentials: dict[str, Credential] = field(default_factory=dict[str, Credential])
    """By credential id."""


@dataclass(frozen=True, slots=True)
class AddProvider:
    """Make a provider exist."""

    provider_id: str
    spec: ProviderSpec


@dataclass(frozen=True, slots=True)
class ChangeProvider:
    """Make a provider be as ``spec`` says; its slug changes only while nobody uses it (``users``, by name)."""

    provider_id: str
    spec: ProviderSpec
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoveProvider:
    """Remove a provider that nobody uses (``users``: keys and routers that do, by name)."""

    provider_id: str
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetCredential:
    """Store a credential, or another value for the one of that name; its secret is stored already."""

    provider_id: str
    credential_id: str
    secret_id: str
    fingerprint: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class RemoveCredential:
    """Remove a credential, or all of them."""

    provider_id: str
    credential_id: str | None = None


Command = AddProvider | ChangeProvider | RemoveProvider | SetCredential | RemoveCredential


def decide(command: Command, state: Provider) -> list[EventData] | Refusal:
    """Decide a command."""
    if isinstance(command, AddProvider):
        if state.spec is not None or state.removed:
            return Refusal("already_exists", f"provider {command.provider_id} exists already")
        return invalid(command.spec) or [ProviderAdded(provider_id=command.provider_id, spec=command.spec)]
    if state.spec is None:
        return Refusal("provider_not_found", f"no provider {command.provider_id}", 404)
    match command:
        case ChangeProvider():
            return _changed(command, state.spec)
        case RemoveProvider(provider_id=identity, users=users):
            if users:
                return Refusal("in_use", f"provider {state.spec.slug} is used by {', '.join(users)}")
            removed = [CredentialRemoved(provider_id=identity, credential_id=known) for known in state.credentials]
            return [*removed, ProviderRemoved(provider_id=identity)]
        case SetCredential():
            return _credential(command, state)
        case RemoveCredential(provider_id=identity, credential_id=None):
            return [CredentialRemoved(provider_id=identity, credential_id=known) for known in state.credentials]
        case RemoveCredential(provider_id=identity, credential_id=known):
            if known not in state.credentials:
                return Refusal("credential_not_found", f"provider {state.spec.slug} has no credential {known}", 404)
            return [CredentialRemoved(provider_id=identity, credential_id=known)]


def _changed(command: ChangeProvider, before: ProviderSpec) -> list[EventData] | Refusal:
    identity, spec = command.provider_id, command.spec
    if spec == before:
        return []
    if spec.vendor != before.vendor:
        return Refusal("vendor_is_fixed", "a provider's vendor does not change: add another provider", 422)
    if spec.slug != before.slug and command.users:
        return Refusal("in_use", f"provider {before.slug} is used by {', '.join(command.users)}")
    return invalid(spec) or [ProviderChanged(provider_id=identity, spec=spec)]


def _credential(command: SetCredential, state: Provider) -> list[EventData] | Refusal:
    assert state.spec is not None
    if VENDORS[state.spec.vendor].credential == "none":
        return Refusal("no_credential_needed", f"{state.spec.vendor} takes no credential", 422)
    replaced = [
        CredentialRemoved(provider_id=command.provider_id, credential_id=known.id)
        for known in state.credentials.values()
        if known.name == command.name
    ]
    stored = CredentialSet(
        provider_id=command.provider_id,
        credential_id=command.credential_id,
        secret_id=command.secret_id,
        fingerprint=command.fingerprint,
        name=command.name,
    )
    return [*replaced, stored]


def invalid(spec: ProviderSpec) -> Refusal | None:
    """Return what is wrong with a spec, or None."""
    if not _SLUG.fullmatch(spec.slug) or spec.slug in _RESERVED:
        return Refusal("invalid_slug", f"a slug is 1–64 of a–z, 0–9 and -, and not {spec.slug!r}", 422)
    vendor = VENDORS.get(spec.vendor)
    if vendor is None:
        return Refusal("unknown_vendor", f"no vendor {spec.vendor!r}; known: {', '.join(sorted(VENDORS))}", 422)
    if spec.vendor == "local":
        if spec.base_url != vendor.base_url:
            return Refusal("invalid_base_url", "the built-in model has no other address", 422)
    elif why := refused_address(spec.base_url, local=spec.local):
        return Refusal("invalid_base_url", why, 422)
    for name, value in spec.options.headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _FORBIDDEN_HEADERS or any(c in value for c in "\r\n\0"):
            return Refusal("invalid_header", f"the header {name!r} cannot be set", 422)
    options = spec.options
    spans = (options.probe_interval_s, options.probe_timeout_s, options.degraded_after_s, options.breaker_open_s)
    if min(spans) <= 0 or options.probe_interval_s < 1 or options.breaker_failures < 1:
        return Refusal("invalid_options", "times are positive, the probe interval and the failures at least 1", 422)
    return None


def evolve(state: Provider, event: Any) -> Provider:
    """Apply an event."""
    match event:
        case ProviderAdded(spec=spec) | ProviderChanged(spec=spec):
            return replace(state, spec=spec)
        case ProviderRemoved():
            return Provider(removed=True)
        case CredentialSet(credential_id=known, secret_id=secret, fingerprint=fingerprint, name=name):
            return replace(state, credentials=state.credentials | {known: Credential(known, secret, fingerprint, name)})
        case CredentialRemoved(credential_id=removed):
            return replace(state, credentials={k: v for k, v in state.credentials.items() if k != removed})
        case _:
            return state


PROVIDER: Final[Decider[Provider, Command]] = Decider(
    kind="provider",
    initial=Provider,
    decide=decide,
    evolve=evolve,
    name_of=lambda state: None if state.spec is None else state.spec.slug,
)


ENVIRONMENT: Final = "environment"
"""The id of a credential that is an environment variable's."""
SECRET_PREFIX: Final = "credential-"  # noqa: S105  it names secrets, it is none
"""What the ids of credentials' secrets begin with, before a UUIDv7; others in the bucket are other services'."""
OAUTH_PREFIX: Final = SECRET_PREFIX + "oauth-"
"""What those begin with that hold a sign-in: tokens that are renewed."""


def secret_context(provider_id: str, credential_id: str) -> str:
    """Return what a credential's secret is sealed for."""
    return f"provider/{provider_id}/credential/{credential_id}"
