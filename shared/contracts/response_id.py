"""The ids of responses: where the response lies, so that the next turn finds it again without anybody remembering.

A vendor keeps a response for one of its accounts, so the id that a client gets carries the provider, the credential and
the vendor's own id. A translated response lies nowhere, and its id says so.
"""

import base64
import binascii
from typing import Final

import msgspec

_KEPT: Final = "resp_lr1"
_TRANSLATED: Final = "resp_lrt"
_MOST: Final = 2_048
"""Characters of an id; longer ones are nobody's."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a response lies."""

    provider_id: str
    credential_id: str | None
    """None: the vendor is reached without one."""
    vendor_id: str
    """The response, as the vendor names it."""


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODER: Final = msgspec.msgpack.Decoder(Place)


def encode_response_id(place: Place) -> str:
    """Return the id by which a client knows a response that a vendor keeps."""
    return _KEPT + base64.urlsafe_b64encode(_ENCODE(place)).decode().rstrip("=")


def decode_response_id(response_id: str) -> Place | None:
    """Return where a response lies; None for an id that was not made by ``encode_response_id``."""
    if not response_id.startswith(_KEPT) or len(response_id) > _MOST:
        return None
    code = response_id.removeprefix(_KEPT)
    try:
        return _DECODER.decode(base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None


def translated_response_id(unique: str) -> str:
    """Return the id of a response that was translated from another dialect; ``unique``: letters and digits."""
    return _TRANSLATED + unique


def why_not_previous(response_id: str) -> str | None:
    """Return why a response cannot be continued by its id, as a sentence; None: it can."""
    if decode_response_id(response_id) is not None:
        return None
    if response_id.startswith(_TRANSLATED):
        return (
            "The response 'previous_response_id' names came from a vendor that keeps none: "
            "send the items of the conversation as 'input' instead."
        )
    return "The response 'previous_response_id' names is not one that was answered here."
