"""Keys and their digests: HMAC-SHA-256 under a random pepper, because the keys themselves are random."""

import base64
import hmac
from ipaddress import ip_address
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


def credential(headers: list[tuple[bytes, bytes]], key_headers: frozenset[bytes]) -> bytes | None:
    """Return the key of a request, or None; two different credentials in one request are none.

    ``key_headers`` are those that may hold it besides ``authorization``, in lower case.
    """
    found: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() != b"bearer" or found is not None:
                return None
            found = token.strip()
    if key_headers:
        for name, value in headers:
            if name in key_headers:
                if found is not None and found != value.strip():
                    return None
                found = value.strip()
    return found


_SOMEBODY: Final = frozenset(
    {b"authorization", b"x-api-key", b"cookie", b"origin", b"sec-fetch-site"}
    | {b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip"}
)
"""Headers of those who bring a credential, of browsers, and of proxies."""


def comes_bare(headers: list[tuple[bytes, bytes]], client: str | None) -> bool:
    """Return whether a caller on this machine itself sends no credential at all.

    What a proxy forwards, or a page in a browser sends, is somebody else's, whatever address it comes from.
    """
    if client is None or any(name in _SOMEBODY for name, _ in headers):
        return False
    try:
        return ip_address(client).is_loopback
    except ValueError:
        return False
