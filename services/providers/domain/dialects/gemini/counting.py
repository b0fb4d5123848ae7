"""Gemini's own count of a request's tokens. https://ai.google.dev/api/tokens"""

from services.providers.domain.canonical import Ask, Json
from services.providers.domain.dialect import Malformed, VendorFailed, Wire
from services.providers.domain.dialects.gemini.request import encode_request
from services.providers.domain.usage import count


def encode_count(ask: Ask, wire: Wire) -> Json:
    """Return the body: the request as it would be asked, so that instructions and tools are counted too.

    Quirks: ``plain count`` (Vertex takes the request itself, without what steers the answer).
    """
    body = encode_request(ask, wire)
    if "plain count" in wire.quirks:
        return {name: body[name] for name in ("contents", "systemInstruction", "tools") if name in body}
    return {"generateContentRequest": {"model": f"models/{wire.native_id}", **body}}


def decode_count(body: Json) -> int:
    """Return the tokens of the request; raises Malformed, VendorFailed."""
    if body.get("error"):
        raise VendorFailed(body)
    tokens = count(body.get("totalTokens"))
    if tokens is None:
        raise Malformed("the vendor's answer holds no count of tokens")
    return tokens
