"""Sealed secrets in a bucket: what is stored opens only with the master key and for its own context."""

import os
from typing import Final

import msgspec

from shared.kernel.errors import SealBroken
from shared.kernel.secrets import Sealed, seal, unseal
from shared.log.port import Bucket

_ENTROPY: Final = 56


class SecretStore:
    """Puts and gets secrets by id; ``context`` names what a secret is for and is bound to it."""

    def __init__(self, bucket: Bucket, master: bytes) -> None:
        self._bucket = bucket
        self._master = master

    async def put(self, secret_id: str, plaintext: bytes, *, context: str) -> None:
        """Seal and store; raises OutcomeUnknown, LogUnavailable."""
        sealed = seal(plaintext, master=self._master, context=context, entropy=os.urandom(_ENTROPY))
        await self._bucket.put(secret_id, msgspec.json.encode(sealed))

    async def get(self, secret_id: str, *, context: str) -> bytes:
        """Return the plaintext; raises KeyError where there is none, SealBroken where it does not open,
        LogUnavailable."""
        entry = await self._bucket.get(secret_id)
        if entry is None or entry.value is None:
            raise KeyError(secret_id)
        try:
            sealed = msgspec.json.decode(entry.value, type=Sealed)
        except msgspec.DecodeError as error:
            raise SealBroken(context, other_master=False) from error
        return unseal(sealed, master=self._master, context=context)

    async def purge(self, secret_id: str) -> None:
        """Remove for good; raises OutcomeUnknown, LogUnavailable."""
        await self._bucket.purge(secret_id)
