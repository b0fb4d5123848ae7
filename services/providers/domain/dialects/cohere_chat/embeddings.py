"""Cohere's vectors. https://docs.cohere.com/reference/embed"""

from typing import Any

import msgspec

from services.providers.domain.canonical import EmbedAsk, Embeddings, Json
from services.providers.domain.dialect import Wire
from services.providers.domain.usage import count
from shared.contracts.usage import NO_TOKENS, Tokens


class _Vectors(msgspec.Struct, rename={"floats": "float"}):
    floats: list[list[float]]


class _Units(msgspec.Struct):
    input_tokens: Any = None


class _Meta(msgspec.Struct):
    billed_units: _Units | None = None


class _Answer(msgspec.Struct):
    embeddings: _Vectors
    meta: _Meta | None = None


def encode_embeddings(ask: EmbedAsk, wire: Wire) -> Json:
    """Return the body; what the texts are for, which Cohere must be told, is taken for a document's."""
    body: Json = {
        "model": wire.native_id,
        "texts": list(ask.inputs),
        "input_type": "search_document",
        "embedding_types": ["float"],
    }
    if ask.dimensions is not None:
        body["output_dimension"] = ask.dimensions
    if ask.truncate is not None:
        body["truncate"] = "END" if ask.truncate else "NONE"
    return body


def decode_embeddings(body: Json) -> Embeddings:
    """Read the vectors; raises msgspec.ValidationError."""
    answer = msgspec.convert(body, _Answer)
    units = answer.meta.billed_units if answer.meta is not None else None
    given = count(units.input_tokens) if units is not None else None
    tokens = NO_TOKENS if given is None else Tokens(input=given, source="provider")
    return Embeddings(vectors=tuple(answer.embeddings.floats), tokens=tokens)
