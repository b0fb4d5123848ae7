"""Secrets that cannot be printed, and AES-256-GCM sealing with the context bound in."""

import hashlib
import hmac
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.kernel.errors import SealBroken

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


class Secret:
    """A value that no log, error, ``repr`` or serializer shows; ``reveal`` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the one place that must send it."""
        return self._value

    def fingerprint(self) -> str:
        """Return eight hex digits that recognise the secret without revealing it."""
        return hashlib.sha256(b"localrouter-fingerprint:" + self._value.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str, /) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not serialized")


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A secret at rest: ciphertext under its own data key, the data key wrapped by the master key."""

    ciphertext: bytes
    nonce: bytes
    wrapped_key: bytes
    wrap_nonce: bytes
    master_id: str
    """Which master key wraps the data key: ``key_id(master)``."""
    context: str = ""
    """What it was sealed for, so that its data key can be wrapped anew by somebody who does not use it."""


def key_id(key: bytes) -> str:
    """Return a name for a key that says nothing about it."""
    return hashlib.sha256(b"localrouter-key-id:" + key).hexdigest()[:16]


def seal(plaintext: bytes, *, master: bytes, context: str, entropy: bytes) -> Sealed:
    """Seal ``plaintext`` for ``context`` (bound as AAD); ``entropy`` is 56 fresh random bytes."""
    if len(entropy) != KEY_BYTES + 2 * NONCE_BYTES:
        raise ValueError("sealing needs 56 bytes of entropy")
    data_key, nonce, wrap_nonce = entropy[:32], entropy[32:44], entropy[44:]
    aad = context.encode()
    return Sealed(
        ciphertext=AESGCM(data_key).encrypt(nonce, plaintext, aad),
        nonce=nonce,
        wrapped_key=AESGCM(master).encrypt(wrap_nonce, data_key, aad),
        wrap_nonce=wrap_nonce,
        master_id=key_id(master),
        context=context,
    )


def rewrap(sealed: Sealed, *, master: bytes, older: bytes, entropy: bytes) -> Sealed:
    """Return the same secret with its data key wrapped by ``master`` instead of ``older``; ``entropy`` is 12 bytes.

    The secret itself stays sealed. Raises SealBroken for another key, or bytes or a context that were changed.
    """
    aad = sealed.context.encode()
    data_key = bytearray()
    try:
        data_key = _decrypt(older, sealed.wrap_nonce, sealed.wrapped_key, aad)
        wipe(_decrypt(data_key, sealed.nonce, sealed.ciphertext, aad))
        wrapped = AESGCM(master).encrypt(entropy, data_key, aad)
    except (InvalidTag, ValueError) as error:
        raise SealBroken(sealed.context, other_master=sealed.master_id != key_id(older)) from error
    finally:
        wipe(data_key)
    return msgspec.structs.replace(sealed, wrapped_key=wrapped, wrap_nonce=entropy, master_id=key_id(master))


def unseal(sealed: Sealed, *, master: bytes, context: str) -> bytearray:
    """Return the plaintext, to be overwritten (``wipe``) by whoever is done with it.

    Raises SealBroken for another master key, context or a changed byte.
    """
    if sealed.context not in ("", context):  # "": sealed before it was kept beside
        raise SealBroken(context, other_master=False)
    aad = context.encode()
    data_key = bytearray()
    try:
        data_key = _decrypt(master, sealed.wrap_nonce, sealed.wrapped_key, aad)
        return _decrypt(data_key, sealed.nonce, sealed.ciphertext, aad)
    except (InvalidTag, ValueError) as error:  # ValueError: a nonce that is too short to be one
        raise SealBroken(context, other_master=sealed.master_id != key_id(master)) from error
    finally:
        wipe(data_key)


def wipe(buffer: bytearray) -> None:
    """Overwrite what was secret; what Python has made of it meanwhile, a ``str`` above all, cannot be."""
    buffer[:] = bytes(len(buffer))


def _decrypt(key: bytes | bytearray, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytearray:
    plaintext = bytearray(len(ciphertext) - _TAG_BYTES)
    AESGCM(key).decrypt_into(nonce, ciphertext, aad, plaintext)
    return plaintext
