"""Identifiers: UUIDv7 as text, made from a time and entropy that the caller brings (RFC 9562, section 5.7)."""

import uuid
from typing import NewType, Protocol

KeyId = NewType("KeyId", str)
RouterId = NewType("RouterId", str)
ProviderId = NewType("ProviderId", str)
RequestId = NewType("RequestId", str)
GatewayId = NewType("GatewayId", str)
ModelId = NewType("ModelId", str)
"""A model as LocalRouter names it: ``<provider slug>/<native id>``."""


class NewId(Protocol):
    """Makes one fresh UUIDv7 as text; the runtime owns the clock and the randomness behind it."""

    def __call__(self) -> str:
        """Return the id."""
        ...


def uuid7(now_ms: int, entropy: bytes) -> str:
    """Return the UUIDv7 for ``now_ms`` (Unix milliseconds) and ``entropy`` (10 bytes)."""
    if len(entropy) != 10:
        raise ValueError(f"entropy must be 10 bytes, got {len(entropy)}")
    time, rest = f"{now_ms & 0xFFFFFFFFFFFF:012x}", entropy.hex()
    variant = "89ab"[entropy[2] >> 4 & 3]
    return f"{time[:8]}-{time[8:]}-7{rest[1:4]}-{variant}{rest[5:8]}-{rest[8:]}"


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a UUID in its canonical 36-character form."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
