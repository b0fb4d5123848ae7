"""Every key as requests need it: found by digest, frozen where its events do not read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final

import msgspec

from services.gateway.domain.key import Key, KeyState, evolve
from shared.contracts.config import KeyCreated, KeyOptions, KeyPolicies, KeyRotated, KeyValue, Target
from shared.contracts.envelope import EventData
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_CONFIG, Recorded


@dataclass(slots=True, kw_only=True)
class KnownKey:
    """One key, ready to be asked."""

    id: str
    key: Key
    version: int
    created_at: datetime
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    frozen: str | None = None
    """Why its events do not read: it refuses until they do."""
    graces: tuple[tuple[KeyValue, datetime], ...] = ()
    """Older values and until when they work."""

    @property
    def options(self) -> KeyOptions:
        """What may be edited about it."""
        assert self.key.options is not None
        return self.key.options

    def permits(self, name: str) -> bool:
        """Whether the key may name ``name`` (``<provider>/<model>`` or ``router/<slug>``)."""
        options = self.options
        target = options.target
        if name in (target.model, f"router/{target.router}"):
            return True
        return any(fnmatchcase(name, pattern) for pattern in options.allowed)

    def admits_address(self, address: str | None) -> bool:
        """Whether a caller at ``address`` may use the key."""
        if not self.networks:
            return True
        if address is None:
            return False
        try:
            caller = ip_address(address)
        except ValueError:
            return False
        return any(caller in network for network in self.networks)


class KeyRing:
    """The fold of all keys."""

    name = "keys"
    stream = LR_CONFIG
    subject = "lr.config.key.*"

    def __init__(self) -> None:
        self.generation = 0
        """Grows with every change: what was derived from a key is stale."""
        self._keys: dict[str, KnownKey] = {}
        self._by_digest: dict[bytes, KnownKey] = {}
        self._ever = 0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def ever_created(self) -> int:
        """How many keys were ever made: the next default name counts on."""
        return self._ever

    def find(self, digest: bytes, now: datetime) -> KnownKey | None:
        """Return the key with this digest, also by an older value in its grace."""
        known = self._by_digest.get(digest)
        if known is None or not known.graces:
            return known
        value = known.key.value
        if value is not None and value.digest == digest:
            return known
        return known if any(old.digest == digest and now < until for old, until in known.graces) else None

    def get(self, key_id: str) -> KnownKey | None:
        """Return a key that exists by id."""
        return self._keys.get(key_id)

    def all(self) -> Iterable[KnownKey]:
        """Return the keys that exist, oldest first."""
        return self._keys.values()

    def names(self) -> set[str]:
        """Return the names that are taken."""
        return {known.options.name for known in self._keys.values()}

    def named(self, name: str) -> KnownKey | None:
        """Return the key with this name; None also where two have it."""
        found = [known for known in self._keys.values() if known.options.name == name]
        return found[0] if len(found) == 1 else None

    def pepper_ids(self) -> set[str]:
        """Return the peppers that live keys need, those of older values in their grace included."""
        values = [known.key.value for known in self._keys.values()]
        values += [value for known in self._keys.values() for value, _ in known.graces]
        return {value.pepper_id for value in values if value is not None}

    def problems(self) -> list[str]:
        """Return the frozen keys, in sentences."""
        return [f"key {known.id} is frozen: {known.frozen}" for known in self._keys.values() if known.frozen]

    def apply(self, recorded: Recorded) -> None:
        """Take one event of a key."""
        self.generation += 1
        key_id = recorded.subject.rpartition(".")[2]
        known = self._keys.get(key_id)
        if recorded.event is None:
            if known is not None:
                known.frozen = f"event {recorded.sequence}: {recorded.broken}"
            return
        data = recorded.event.data
        if known is None:
            if isinstance(data, KeyCreated):
                self._ever += 1
                self._add(KnownKey(id=key_id, key=evolve(Key(), data), version=1, created_at=recorded.event.time))
            return
        if known.frozen is None:
            self._change(known, data)

    def dump(self) -> bytes:
        """Return the whole state."""
        rows = [
            (known.id, known.key, known.version, known.created_at, known.frozen, known.graces)
            for known in self._keys.values()
        ]
        return msgspec.msgpack.encode((self._ever, rows))

    def load(self, raw: bytes) -> None:
        """Replace the state by a dumped one."""
        try:
            self._ever, rows = _DUMP.decode(raw)
        except msgspec.DecodeError as error:
            raise ContractBroken(f"not a dump of keys: {error}") from error
        self._keys.clear()
        self._by_digest.clear()
        for key_id, key, version, created_at, frozen, graces in rows:
            self._add(
                KnownKey(
                    id=key_id, key=key, version=version, created_at=created_at, frozen=frozen, graces=tuple(graces)
                )
            )

    def _add(self, known: KnownKey) -> None:
        known.networks = tuple(ip_network(text) for text in known.options.networks)
        self._keys[known.id] = known
        self._index(known)

    def _change(self, known: KnownKey, data: EventData) -> None:
        before = known.key
        self._unindex(known)
        known.key = evolve(before, data)
        known.version += 1
        known.networks = tuple(ip_network(text) for text in known.options.networks)
        if isinstance(data, KeyRotated):
            graced = ((before.value, data.grace_until),) if before.value and data.grace_until else ()
            known.graces = (*known.graces, *graced)
        if known.key.state is KeyState.DELETED:
            del self._keys[known.id]
        else:
            self._index(known)

    def _index(self, known: KnownKey) -> None:
        for digest in self._digests(known):
            self._by_digest[digest] = known

    def _unindex(self, known: KnownKey) -> None:
        for digest in self._digests(known):
            self._by_digest.pop(digest, None)

    @staticmethod
    def _digests(known: KnownKey) -> list[bytes]:
        current = [known.key.value.digest] if known.key.value is not None else []
        return current + [old.digest for old, _ in known.graces]


_DUMP: Final = msgspec.msgpack.Decoder(
    tuple[int, list[tuple[str, Key, int, datetime, str | None, list[tuple[KeyValue, datetime]]]]]
)


def public_view(known: KnownKey) -> dict[str, Any]:
    """Return a key in the shape of the admin API."""
    options, value = known.options, known.key.value
    return {
        "id": known.id,
        "name": options.name,
        "description": options.description,
        "prefix": value.prefix if value else None,
        "last4": value.last4 if value else None,
        "enabled": known.key.state is KeyState.ENABLED,
        "expires_at": options.expires_at,
        "target": _target(options.target),
        "allowed": list(options.allowed),
        "endpoints": list(options.endpoints),
        "networks": list(options.networks),
        "max_body_bytes": options.max_body_bytes,
        "limits": [],
        "policies": _policies(options.policies),
        "tags": options.tags,
        "created_at": known.created_at,
        "version": known.version,
    }


def _target(target: Target) -> dict[str, str]:
    return {"model": target.model} if target.model is not None else {"router": target.router or ""}


def _policies(policies: KeyPolicies) -> dict[str, Any]:
    return {
        "drop_params": policies.drop_params,
        "unpriced": policies.unpriced,
        "limits_unavailable": policies.limits_unavailable,
    }
