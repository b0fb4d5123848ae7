"""Keys and their digests: HMAC-SHA-256 under a random pepper, because the keys themselves are random."""

import base64
import hmac
from typing import Final

from shared.contracts.config import KeyValue

PREFIX: Final = "lr-"
ENTROPY: Final = 32


def format_key(entropy: bytes) -> str:
    """Return the key made of 32 random bytes: ``lr-`` and base64url."""
    if len(entropy) != ENTROPY:
        raise ValueError(f"a key is made of {ENTROPY} random bytes, got {len(entropy)}")
    return PREFIX + base64.urlsafe_b64encode(entropy).decode().rstrip("=")


def digest(key: bytes, pepper: bytes) -> bytes:
    """Return what is stored of a key."""
    return hmac.digest(pepper, key, "sha256")


def key_value(key: str, pepper_id: str, pepper: bytes) -> KeyValue:
    """Return what is kept of a new key."""
    return KeyValue(digest=digest(key.encode(), pepper), pepper_id=pepper_id, prefix=key[:6], last4=key[-4:])


def bearer(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """Return the key of a request, or None; two different credentials in one request are none."""
    found: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() != b"bearer" or found is not None:
                return None
            found = token.strip()
    return found
