"""Sealed secrets in a bucket: what is stored opens only with the master key and for its own context."""

import os
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from shared.kernel.errors import Conflict, SealBroken
from shared.kernel.secrets import NONCE_BYTES, Sealed, key_id, rewrap, seal, unseal
from shared.log.port import Bucket, Entry

_ENTROPY: Final = 56


class Masters(Protocol):
    """The master keys in force: one, or while it is rotated the old and the new one."""

    def ring(self) -> Sequence[bytes]:
        """Return them: the first seals, each opens what it sealed."""
        ...

    async def again(self) -> Sequence[bytes]:
        """Return them as they are now where they are kept; raises StartRefused where that cannot be read."""
        ...


class OneMaster:
    """A master key that nothing rotates."""

    def __init__(self, master: bytes) -> None:
        self._ring = (master,)

    def ring(self) -> Sequence[bytes]:
        """Return the one there is."""
        return self._ring

    async def again(self) -> Sequence[bytes]:
        """Return the same."""
        return self._ring


class SecretStore:
    """Puts and gets secrets by id; ``context`` names what a secret is for and is bound to it.

    Other processes rotate the master key: a secret that none of the known ones sealed makes it look for newer ones.
    """

    def __init__(self, bucket: Bucket, master: bytes | Masters) -> None:
        self._bucket = bucket
        self._masters: Masters = OneMaster(master) if isinstance(master, bytes) else master

    async def put(self, secret_id: str, plaintext: bytes, *, context: str, expected: int | None = None) -> int:
        """Seal and store, and return the revision; ``expected`` as in ``Bucket.put``.

        Raises Conflict, OutcomeUnknown, LogUnavailable.
        """
        while True:
            master = (await self._masters.again())[0]
            sealed = seal(plaintext, master=master, context=context, entropy=os.urandom(_ENTROPY))
            revision = await self._bucket.put(secret_id, msgspec.json.encode(sealed), expected=expected)
            if (await self._masters.again())[0] == master:
                return revision
            # The master key changed meanwhile: what re-wraps every secret may have been past this one already.
            expected = None if expected is None else revision

    async def get(self, secret_id: str, *, context: str) -> bytearray:
        """Return the plaintext, to be overwritten (``kernel.secrets.wipe``) by whoever is done with it.

        Raises KeyError where there is none, SealBroken where it does not open, LogUnavailable.
        """
        return (await self.read(secret_id, context=context))[0]

    async def read(self, secret_id: str, *, context: str) -> tuple[bytearray, int]:
        """Return the plaintext and its revision; raises as ``get``."""
        revision = -1
        while True:
            entry = await self._bucket.get(secret_id)
            if entry is None or entry.value is None:
                raise KeyError(secret_id)
            sealed = _read(entry, context)
            master = _sealer(self._masters.ring(), sealed) or _sealer(await self._masters.again(), sealed)
            if master is not None:
                return unseal(sealed, master=master, context=context), entry.revision
            if entry.revision == revision:
                raise SealBroken(context, other_master=True)
            revision = entry.revision  # a rotation may have ended between reading the secret and the ring

    def open(self, entry: Entry, *, context: str) -> bytearray:
        """Return the plaintext of what the bucket held of a secret; raises SealBroken where it does not open."""
        sealed = _read(entry, context)
        master = _sealer(self._masters.ring(), sealed)
        if master is None:
            raise SealBroken(context, other_master=True)
        return unseal(sealed, master=master, context=context)

    async def purge(self, secret_id: str) -> None:
        """Remove for good; raises OutcomeUnknown, LogUnavailable."""
        await self._bucket.purge(secret_id)


async def rewrap_all(bucket: Bucket, ring: Sequence[bytes]) -> int:
    """Wrap the data key of every secret by the first of ``ring``; return how many were wrapped by another.

    Killed at any point it leaves every secret readable by the ring. Raises SealBroken at the first secret that no key
    of the ring opens, OutcomeUnknown, LogUnavailable.
    """
    changed = 0
    for entry in await bucket.entries():
        found: Entry | None = entry
        while found is not None and found.value is not None:
            sealed = _read(found, found.key)
            if sealed.master_id == key_id(ring[0]):
                break
            older = _sealer(ring, sealed)
            if older is None:
                raise SealBroken(found.key, other_master=True)
            wrapped = rewrap(sealed, master=ring[0], older=older, entropy=os.urandom(NONCE_BYTES))
            try:
                await bucket.put(found.key, msgspec.json.encode(wrapped), expected=found.revision)
                changed += 1
                break
            except Conflict:  # it was replaced or purged meanwhile
                found = await bucket.get(entry.key)
    return changed


def _read(entry: Entry, context: str) -> Sealed:
    try:
        return msgspec.json.decode(entry.value or b"", type=Sealed)
    except msgspec.DecodeError as error:
        raise SealBroken(context, other_master=False) from error


def _sealer(ring: Sequence[bytes], sealed: Sealed) -> bytes | None:
    return next((master for master in ring if key_id(master) == sealed.master_id), None)
