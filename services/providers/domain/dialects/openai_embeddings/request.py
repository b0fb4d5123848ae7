"""What is asked in OpenAI's embeddings, read from clients and written towards vendors.

https://platform.openai.com/docs/api-reference/embeddings/create
"""

from typing import Final, cast

from services.providers.domain.canonical import EmbedAsk, Json, Refused
from services.providers.domain.dialect import Wire
from services.providers.domain.shapes import integer, word
from shared.contracts.frames import Completion

TAKES: Final = frozenset({"dimensions", "user", "truncate", "token inputs"})
_READ: Final = frozenset({"model", "models", "input", "dimensions", "encoding_format", "user"})


def decode_request(body: Json) -> EmbedAsk:
    """Read a request; raises Refused."""
    form, dimensions, user = body.get("encoding_format"), body.get("dimensions"), body.get("user")
    if form not in (None, "float", "base64"):
        raise Refused("encoding_format", "encoding_format must be float or base64")
    return EmbedAsk(
        inputs=_inputs(body.get("input")),
        dimensions=None if dimensions is None else integer(dimensions, "dimensions"),
        base64=form == "base64",
        user=None if user is None else word(user, "user"),
        extra={name: value for name, value in body.items() if name not in _READ and value is not None},
    )


def _inputs(given: object) -> tuple[str | tuple[int, ...], ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list) or not given:
        raise Refused("input", "input must be a text or a list of them")
    found = cast("list[object]", given)
    if all(type(item) is int for item in found):
        return (tuple(cast("list[int]", found)),)
    return tuple(_input(item, f"input[{place}]") for place, item in enumerate(found))


def _input(item: object, where: str) -> str | tuple[int, ...]:
    if isinstance(item, str):
        return item
    if isinstance(item, list) and item and all(type(token) is int for token in cast("list[object]", item)):
        return tuple(cast("list[int]", item))
    raise Refused(where, f"{where} must be a text or a list of tokens")


def encode_request(ask: EmbedAsk, wire: Wire) -> Json:
    """Write a request; raises Refused.

    Quirks: ``output_dimension`` (Mistral's and Voyage's name of it), ``truncation`` (Voyage's of ``truncate``), ``text
    inputs`` (no lists of tokens).
    """
    if "text inputs" in wire.quirks and any(not isinstance(item, str) for item in ask.inputs):
        raise Refused("input", "this vendor takes texts, not lists of tokens")
    body: Json = {"model": wire.native_id, "input": list(ask.inputs)}
    if ask.dimensions is not None:
        body["output_dimension" if "output_dimension" in wire.quirks else "dimensions"] = ask.dimensions
    if ask.truncate is not None and "truncation" in wire.quirks:
        body["truncation"] = ask.truncate
    if ask.user is not None:
        body["user"] = ask.user
    return body


def native_body(request: Completion, quirks: frozenset[str]) -> Json:
    """Return the client's body with the vendor's model, LocalRouter's own fields gone."""
    body = {**request.body, "model": request.native_id}
    body.pop("models", None)
    if "output_dimension" in quirks and "dimensions" in body:
        body["output_dimension"] = body.pop("dimensions")
    return body
