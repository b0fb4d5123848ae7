"""What the core's surroundings must bring, as seen from both of its edges."""

from typing import Protocol


class Secrets(Protocol):
    """Sealed secrets by id (``shared.log.secrets``)."""

    async def put(self, secret_id: str, plaintext: bytes, *, context: str, expected: int | None = None) -> int:
        """Seal and store, and return the revision; with ``expected`` raises Conflict where it is another."""
        ...

    async def get(self, secret_id: str, *, context: str) -> bytearray:
        """Return the plaintext, to be overwritten by whoever is done with it.

        Raises KeyError where there is none, SealBroken where it does not open.
        """
        ...

    async def read(self, secret_id: str, *, context: str) -> tuple[bytearray, int]:
        """Return the plaintext and its revision; raises as ``get``."""
        ...

    async def purge(self, secret_id: str) -> None:
        """Remove for good."""
        ...
