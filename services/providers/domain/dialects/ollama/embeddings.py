"""Vectors as Ollama asks and answers them: ``POST /api/embed``.

https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embeddings
"""

from typing import Any, cast

import msgspec

from services.providers.domain.canonical import EmbedAsk, Embeddings, Json, Refused
from services.providers.domain.dialect import Malformed, VendorFailed, Wire, malformed
from services.providers.domain.dialects.ollama.wire import ENCODE
from services.providers.domain.errors import UNREADABLE, error_in_answer, error_of
from services.providers.domain.usage import count, settled
from shared.contracts.frames import Completion, Data, Frame, Tail
from shared.contracts.usage import NO_TOKENS, Tokens

_KNOWN = frozenset({"model", "models", "input", "truncate", "dimensions", "keep_alive", "options"})


class _Vectors(msgspec.Struct):
    embeddings: list[list[float]] | None = None
    model: str | None = None
    prompt_eval_count: Any = None
    error: Any = None


class _Outline(msgspec.Struct):
    """An answer of which the numbers are not looked at."""

    embeddings: list[msgspec.Raw] | None = None
    model: Any = None
    prompt_eval_count: Any = None
    error: Any = None


_OUTLINE = msgspec.json.Decoder(_Outline)


def decode_asked(body: Json) -> EmbedAsk:
    """Read a client's request; raises Refused. ``options`` and ``keep_alive`` say how a machine of one's own runs."""
    given = body.get("input")
    inputs = [given] if isinstance(given, str) else given
    if not isinstance(inputs, list) or not all(isinstance(item, str) for item in cast("list[object]", inputs)):
        raise Refused("input", "input must be a text or a list of texts")
    dimensions, truncate = body.get("dimensions"), body.get("truncate")
    if dimensions is not None and type(dimensions) is not int:
        raise Refused("dimensions", "dimensions must be a whole number")
    if truncate is not None and not isinstance(truncate, bool):
        raise Refused("truncate", "truncate must be true or false")
    return EmbedAsk(
        inputs=tuple(cast("list[str]", inputs)),
        dimensions=dimensions,
        truncate=truncate,
        extra={name: value for name, value in body.items() if name not in _KNOWN and value is not None},
    )


def encode_asked(ask: EmbedAsk, wire: Wire) -> Json:
    """Return the request for a vendor."""
    body: Json = {"model": wire.native_id, "input": list(ask.inputs)}
    if ask.dimensions is not None:
        body["dimensions"] = ask.dimensions
    if ask.truncate is not None:
        body["truncate"] = ask.truncate
    return body


def decode_vectors(body: Json) -> Embeddings:
    """Read a vendor's answer; raises Malformed, VendorFailed."""
    found = msgspec.convert(body, _Vectors)
    if found.error:
        raise VendorFailed(found.error)
    if found.embeddings is None:
        raise Malformed("the vendor's answer holds no vectors")
    return Embeddings(vectors=tuple(found.embeddings), model=found.model, tokens=_tokens(found.prompt_eval_count))


def encode_vectors(answer: Embeddings, model: str) -> bytes:
    """Return an answer for a client."""
    tokens = answer.tokens.input + answer.tokens.cached + answer.tokens.cache_write
    return ENCODE({"model": model, "embeddings": answer.vectors, "prompt_eval_count": tokens})


def read_vectors(request: Completion, body: bytes) -> list[Frame]:
    """Read a whole answer at the side; its bytes go on untouched."""
    try:
        found = _OUTLINE.decode(body)
    except UNREADABLE:
        return [malformed("the vendor's answer is not JSON of this dialect")]
    if found.error:
        return [error_in_answer(error_of(found.error))]
    if not found.embeddings:
        return [malformed("the vendor's answer holds no vectors")]
    said = _tokens(found.prompt_eval_count)
    tokens = settled(None if said.source == "none" else said, request.body, 0, whole=True)
    answered = found.model if isinstance(found.model, str) else None
    return [Data(body, content=True), Tail(tokens=tokens, answered=answered, finish_reason="stop")]


def _tokens(prompt: object) -> Tokens:
    given = count(prompt)
    return NO_TOKENS if given is None else Tokens(input=given, source="provider")
