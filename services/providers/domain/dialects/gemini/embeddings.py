"""Gemini's vectors, asked many at once. https://ai.google.dev/api/embeddings#v1beta.models.batchEmbedContents"""

from typing import Any

import msgspec

from services.providers.domain.canonical import EmbedAsk, Embeddings, Json
from services.providers.domain.dialect import Malformed, VendorFailed, Wire
from services.providers.domain.dialects.gemini.usage import gemini_usage
from shared.contracts.usage import NO_TOKENS


class _Vector(msgspec.Struct):
    values: list[float]


class _Answer(msgspec.Struct, rename="camel"):
    embeddings: list[_Vector] | None = None
    embedding: _Vector | None = None
    usage_metadata: Any = None
    error: Any = None


def encode_embeddings(ask: EmbedAsk, wire: Wire) -> Json:
    """Return the body: one request for each text."""
    size: Json = {} if ask.dimensions is None else {"outputDimensionality": ask.dimensions}
    name = f"models/{wire.native_id}"
    return {"requests": [{"model": name, "content": {"parts": [{"text": text}]}, **size} for text in ask.inputs]}


def decode_embeddings(body: Json) -> Embeddings:
    """Read the vectors, in the order of the texts; raises Malformed, VendorFailed, msgspec.ValidationError."""
    answer = msgspec.convert(body, _Answer)
    if answer.error:
        raise VendorFailed(body)
    vectors = answer.embeddings if answer.embedding is None else [answer.embedding]
    if not vectors:
        raise Malformed("the vendor's answer holds no vectors")
    tokens = gemini_usage(answer.usage_metadata, ended=True) or NO_TOKENS
    return Embeddings(vectors=tuple(vector.values for vector in vectors), tokens=tokens)
