"""The providers as they are now, and who uses them: keys' targets and routers' manual orders."""

from dataclasses import dataclass, field

import msgspec

from services.providers.domain.provider import Credential
from shared.contracts.config import (
    CredentialRemoved,
    CredentialSet,
    KeyChanged,
    KeyCreated,
    KeyDeleted,
    ManualOrder,
    ProviderAdded,
    ProviderChanged,
    ProviderRemoved,
    ProviderSpec,
    RouterCreated,
    RouterDeleted,
    RouterReplaced,
    RouterSpec,
    Target,
)
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_CONFIG, Recorded


@dataclass(slots=True)
class ProviderView:
    """One provider as it is now."""

    id: str
    spec: ProviderSpec
    version: int = 1
    credentials: dict[str, Credential] = field(default_factory=dict[str, Credential])


class _State(msgspec.Struct):
    providers: dict[str, ProviderView] = {}
    seen: set[str] = set()
    users: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    frozen: dict[str, str] = {}


_DECODER = msgspec.json.Decoder(_State)


_SUBJECT = "lr.config.provider."


def provider_of(recorded: Recorded) -> str | None:
    """Return the id of the provider that an event is about, or None."""
    return recorded.subject.removeprefix(_SUBJECT) if recorded.subject.startswith(_SUBJECT) else None


class ProvidersFold:
    """Folds ``LR_CONFIG`` into providers and their users."""

    name = "providers"
    stream = LR_CONFIG
    subject = ""

    def __init__(self) -> None:
        self._state = _State()
        self._by_slug: dict[str, ProviderView] = {}

    def apply(self, recorded: Recorded) -> None:
        """Take one event; one that does not read freezes its provider: it is not used until it reads again."""
        if recorded.event is None:
            if (identity := provider_of(recorded)) is not None:
                self._freeze(identity, str(recorded.broken))
            return
        data = recorded.event.data
        match data:
            case KeyCreated() | KeyChanged():
                self._use(f"key/{data.key_id}", f"key {data.options.name}", _of_target(data.options.target))
            case KeyDeleted(key_id=key):
                self._release(f"key/{key}")
            case RouterCreated() | RouterReplaced():
                self._use(f"router/{data.router_id}", f"router {data.spec.slug}", _of_router(data.spec))
            case RouterDeleted(router_id=router):
                self._release(f"router/{router}")
            case ProviderAdded() | ProviderChanged() | ProviderRemoved() | CredentialSet() | CredentialRemoved() if (
                data.provider_id not in self._state.frozen
            ):
                self._provider(data)
            case _:
                pass

    def _provider(
        self, data: ProviderAdded | ProviderChanged | ProviderRemoved | CredentialSet | CredentialRemoved
    ) -> None:
        known = self._state.providers.get(data.provider_id)
        match data:
            case ProviderAdded(provider_id=identity, spec=spec):
                self._state.providers[identity] = ProviderView(identity, spec)
                self._state.seen.add(spec.slug)
            case ProviderChanged(spec=spec) if known is not None:
                known.spec = spec
                known.version += 1
                self._state.seen.add(spec.slug)
            case ProviderRemoved(provider_id=identity):
                self._state.providers.pop(identity, None)
            case CredentialSet() if known is not None:
                known.credentials = known.credentials | {
                    data.credential_id: Credential(data.credential_id, data.secret_id, data.fingerprint, data.name)
                }
                known.version += 1
            case CredentialRemoved() if known is not None:
                known.credentials = {k: v for k, v in known.credentials.items() if k != data.credential_id}
                known.version += 1
            case _:
                return
        self._index()

    def get(self, provider_id: str) -> ProviderView | None:
        """Return a provider by id."""
        return self._state.providers.get(provider_id)

    def find(self, name: str) -> ProviderView | None:
        """Return a provider by id or slug."""
        return self._state.providers.get(name) or self._by_slug.get(name)

    def all(self) -> list[ProviderView]:
        """Return every provider by slug."""
        return [self._by_slug[slug] for slug in sorted(self._by_slug)]

    def seen(self, slug: str) -> bool:
        """Whether a provider of that slug exists or ever did."""
        return slug in self._state.seen

    def users_of(self, slug: str) -> tuple[str, ...]:
        """Return who names a model of the provider: ``key my-app-1``, ``router coding``."""
        return tuple(sorted(self._state.names[user] for user, slugs in self._state.users.items() if slug in slugs))

    def frozen(self) -> list[str]:
        """Return which providers cannot be folded, and why."""
        return [f"provider {identity} is frozen: {why}" for identity, why in self._state.frozen.items()]

    def dump(self) -> bytes:
        """Return the whole state."""
        return msgspec.json.encode(self._state)

    def load(self, raw: bytes) -> None:
        """Replace the state; raises ContractBroken."""
        try:
            self._state = _DECODER.decode(raw)
        except msgspec.DecodeError as error:
            raise ContractBroken(f"not a snapshot of providers: {error}") from error
        self._index()

    def _index(self) -> None:
        self._by_slug = {view.spec.slug: view for view in self._state.providers.values()}

    def _freeze(self, identity: str, why: str) -> None:
        self._state.frozen[identity] = why
        self._state.providers.pop(identity, None)
        self._index()

    def _use(self, user: str, name: str, slugs: tuple[str, ...]) -> None:
        self._state.users[user] = slugs
        self._state.names[user] = name

    def _release(self, user: str) -> None:
        self._state.users.pop(user, None)
        self._state.names.pop(user, None)


def _of_target(target: Target) -> tuple[str, ...]:
    return () if target.model is None else (target.model.partition("/")[0],)


def _of_router(spec: RouterSpec) -> tuple[str, ...]:
    if not isinstance(spec.order, ManualOrder):
        return ()
    return tuple(sorted({model.partition("/")[0] for model in spec.order.models}))
