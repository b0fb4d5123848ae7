"""Vectors in OpenAI's embeddings, read from vendors and written to clients.

https://platform.openai.com/docs/api-reference/embeddings/object
"""

from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import Embeddings, Json
from services.providers.domain.dialect import Malformed, Reader, VendorFailed, malformed
from services.providers.domain.errors import UNREADABLE, error_in_answer, read_error
from services.providers.domain.usage import count, settled
from shared.contracts.frames import Completion, Data, Frame, Tail
from shared.contracts.usage import NO_TOKENS, Tokens

_ENCODE: Final = msgspec.json.Encoder().encode


class _Vector(msgspec.Struct):
    embedding: list[float] | str
    index: Any = None


class _Seen(msgspec.Struct):
    """What is read of an answer that passes through: the vectors themselves are skipped."""

    data: list[Any] | None = None
    model: Any = None
    usage: Any = None


_SEEN: Final = msgspec.json.Decoder(_Seen).decode


def decode_answer(body: Json) -> Embeddings:
    """Read vectors in the order of their index; raises Malformed, VendorFailed."""
    data = body.get("data")
    if not isinstance(data, list):
        if read_error(body) is not None:
            raise VendorFailed(body)
        raise Malformed("the vendor's answer holds no data")
    try:
        found = msgspec.convert(cast("list[Any]", data), list[_Vector])
    except msgspec.ValidationError as error:
        raise Malformed(f"the vendor's answer holds no vectors: {error}") from error
    if all(type(item.index) is int for item in found):
        found.sort(key=lambda item: item.index)
    return Embeddings(
        vectors=tuple(item.embedding for item in found),
        model=body["model"] if isinstance(body.get("model"), str) else None,
        tokens=_usage(body.get("usage")) or NO_TOKENS,
    )


def _usage(raw: object) -> Tokens | None:
    """Read the tokens of the inputs; Voyage says the total alone."""
    if not isinstance(raw, dict):
        return None
    block = cast("Json", raw)
    said = count(block.get("prompt_tokens"))
    if said is None:
        said = count(block.get("total_tokens"))
    return None if said is None else Tokens(input=said, source="provider")


def encode_answer(found: Embeddings, model: str) -> bytes:
    """Write vectors."""
    tokens = found.tokens.input + found.tokens.cached + found.tokens.cache_write
    return _ENCODE(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": vector}
                for index, vector in enumerate(found.vectors)
            ],
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def read_whole(request: Completion, body: bytes) -> list[Frame]:
    """Read an answer of status 200 that passes through: its bytes and the tail, or the failure that it is."""
    try:
        seen = _SEEN(body)
        failed = read_error(msgspec.json.decode(body)) if not seen.data else None
    except UNREADABLE:
        return [malformed("the vendor's answer is not JSON of this dialect")]
    if failed is not None:
        return [error_in_answer(failed)]
    if not seen.data:
        return [malformed("the vendor's answer holds no vectors")]
    tail = Tail(
        tokens=settled(_usage(seen.usage), request.body, 0, whole=True),
        answered=seen.model if isinstance(seen.model, str) else None,
        finish_reason="stop",
    )
    return [Data(body, content=True), tail]


def no_reader(request: Completion) -> Reader:
    """Vectors are never streamed."""
    raise AssertionError(f"{request.dialect} has no streams")
