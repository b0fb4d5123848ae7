"""What the core's surroundings must bring, as seen from both of its edges."""

from typing import Protocol


class Secrets(Protocol):
    """Sealed secrets by id (``shared.log.secrets``)."""

    async def put(self, secret_id: str, plaintext: bytes, *, context: str) -> None:
        """Seal and store."""
        ...

    async def get(self, secret_id: str, *, context: str) -> bytes:
        """Return the plaintext; raises KeyError where there is none, SealBroken where it does not open."""
        ...

    async def purge(self, secret_id: str) -> None:
        """Remove for good."""
        ...
