"""The engine of embeddings: a vendor's vectors into the client's dialect, in number and order as they were asked."""

import base64
import math
import struct
from array import array
from typing import Any, Final

import msgspec

from services.providers.domain.canonical import EmbedAsk, Embeddings, Refused
from services.providers.domain.dialect import EmbedClient, EmbedSpeech, Malformed, VendorFailed, malformed
from services.providers.domain.errors import UNREADABLE, error_in_answer, error_of
from services.providers.domain.usage import settled
from shared.contracts.frames import Completion, Data, Frame, Tail

_DECODE: Final = msgspec.json.Decoder().decode


def fitted_inputs(ask: EmbedAsk, speech: EmbedSpeech, whose: str, *, drop: bool) -> tuple[EmbedAsk, tuple[str, ...]]:
    """Return what the vendor can take, and what was dropped; raises Refused. Dimensions are never dropped: other
    vectors would come."""
    if any(not isinstance(item, str) for item in ask.inputs) and "token inputs" not in speech.takes:
        raise Refused("input", f"{whose} takes texts, not lists of tokens")
    if ask.dimensions is not None and "dimensions" not in speech.takes:
        raise Refused("dimensions", f"{whose} does not take 'dimensions'")
    dropped: list[str] = []
    changes: dict[str, Any] = {}
    for name in ("user", "truncate"):
        if getattr(ask, name) is not None and name not in speech.takes:
            if name != "user" and not drop:
                raise Refused(name, f"{whose} does not take '{name}'")
            changes[name] = None
            dropped.append(name)
    for name in ask.extra:
        if not drop:
            raise Refused(name, f"{whose} does not take '{name}'")
        dropped.append(name)
    if ask.extra:
        changes["extra"] = {}
    return msgspec.structs.replace(ask, **changes), tuple(dropped)


def read_embeddings(
    request: Completion, ask: EmbedAsk, speech: EmbedSpeech, client: EmbedClient, body: bytes
) -> list[Frame]:
    """Read a whole answer of status 200: ``Data`` and ``Tail``, or a ``Fail``; a vector for each input, or none."""
    try:
        parsed: Any = _DECODE(body)
        found = speech.decode_answer(parsed) if isinstance(parsed, dict) else None  # pyright: ignore[reportUnknownArgumentType]
    except UNREADABLE:
        found = None
    except VendorFailed as failed:
        return [error_in_answer(error_of(failed.error))]
    except Malformed as error:
        return [malformed(str(error))]
    if found is None:
        return [malformed("the vendor's answer is not JSON of its dialect")]
    if len(found.vectors) != len(ask.inputs):
        return [malformed(f"{len(found.vectors)} vectors for {len(ask.inputs)} inputs")]
    said = None if found.tokens.source == "none" else found.tokens
    tokens = settled(said, request.body, 0, whole=True)
    try:
        vectors = tuple(as_base64(item) if ask.base64 else as_numbers(item) for item in found.vectors)
    except (ValueError, OverflowError):
        return [malformed("a vector is neither numbers nor base64 of 32-bit floats")]
    answer = Embeddings(vectors=vectors, model=found.model, tokens=tokens)
    payload = client.encode_answer(answer, request.model)
    return [Data(payload, content=True), Tail(tokens=tokens, answered=found.model, finish_reason="stop")]


def as_base64(vector: list[float] | str) -> str:
    """Return a vector as base64 of little-endian 32-bit floats."""
    if isinstance(vector, str):
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def as_numbers(vector: list[float] | str) -> list[float]:
    """Return a vector as numbers; raises ValueError for base64 that is none, or not of numbers that JSON can say."""
    if not isinstance(vector, str):
        return vector
    found = array("f", base64.b64decode(vector)).tolist()
    if not all(map(math.isfinite, found)):
        raise ValueError("a vector holds what is no number")
    return found
