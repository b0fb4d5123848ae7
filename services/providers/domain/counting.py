"""How many tokens a request is before it is asked: counted by a vendor that can, estimated for any other."""

from functools import partial
from typing import Any, Final

import msgspec

from services.providers.domain.canonical import Ask, Media, Part, RefusalText, Refused, Text, ToolCall, ToolResult
from services.providers.domain.dialect import (
    Answered,
    CountClient,
    Counting,
    Malformed,
    Outgoing,
    Reader,
    VendorFailed,
    Wire,
    malformed,
)
from services.providers.domain.errors import UNREADABLE, error_in_answer, error_of
from services.providers.domain.fit import fitted
from services.providers.domain.registry import CLIENTS, COUNTINGS, SPEECHES
from services.providers.domain.usage import estimated_tokens, text_size
from services.providers.domain.vendor import Vendor
from shared.contracts.frames import Completion, Data, Frame, Head, Tail

_MEDIA: Final = 1_600
"""Tokens of an image or a page: what the largest image costs at Anthropic.
https://platform.claude.com/docs/en/build-with-claude/vision#evaluate-image-size"""
_MESSAGE: Final = 4
"""Tokens that mark where a message begins and ends, about."""
_DECODE: Final = msgspec.json.Decoder().decode


def counted(request: Completion, vendor: Vendor, client: CountClient, wire: Wire) -> Outgoing | Answered:
    """Return the vendor's own count where it has one, an estimate that says so else; raises Refused."""
    asker = CLIENTS[client.text]
    ask = asker.decode_request(request.body)
    counting = COUNTINGS.get(vendor.speech)
    if counting is not None:
        speech = SPEECHES[vendor.speech]
        ranges = {**speech.ranges, **vendor.ranges}
        taken = speech.takes - vendor.lacks - speech.lacks(request.native_id)
        fit, _ = fitted(
            ask, names=asker.names_in(request.body), takes=taken, ranges=ranges, whose=vendor.name, drop=True
        )
        try:
            body = counting.encode_request(fit, wire)
        except Refused:
            return _estimate(client, ask)
        return Outgoing(
            path=counting.path.replace("{model}", request.native_id),
            body=body,
            reader=_no_stream,
            whole=partial(_read, counting, client),
        )
    return _estimate(client, ask)


def _estimate(client: CountClient, ask: Ask) -> Answered:
    payload = client.encode_answer(estimate(ask), True)
    return Answered((Head(status=200, content_type="application/json"), Data(payload, content=True), Tail()))


def _read(counting: Counting, client: CountClient, body: bytes) -> list[Frame]:
    try:
        found: Any = _DECODE(body)
        if not isinstance(found, dict):
            return [malformed("the vendor's count is no object")]
        tokens = counting.decode_answer(found)  # pyright: ignore[reportUnknownArgumentType]  keys of JSON are texts
    except UNREADABLE:
        return [malformed("the vendor's count is not JSON")]
    except VendorFailed as failed:
        return [error_in_answer(error_of(failed.error))]
    except Malformed as error:
        return [malformed(str(error))]
    return [Data(client.encode_answer(tokens, False), content=True), Tail()]


def estimate(ask: Ask) -> int:
    """Return about how many tokens a request gives the model to read: of text one for every four bytes."""
    parts = [part for message in ask.messages for part in message.parts]
    size = sum(_size(part) for part in parts)
    for tool in ask.tools:
        told = tool.opaque.raw if tool.opaque is not None else tool.schema
        size += len(tool.name) + len(tool.description or "") + len(msgspec.json.encode(told or {}))
    media = sum(_media(part) for part in parts)
    return estimated_tokens(size) + _MEDIA * media + _MESSAGE * len(ask.messages)


def _size(part: Part) -> int:
    """Return the bytes of text; earlier reasoning is not read again."""
    match part:
        case Text(text=text) | RefusalText(text=text):
            return len(text.encode())
        case ToolCall():
            return len(part.name) + len(part.arguments.encode())
        case ToolResult():
            return sum(_size(inner) for inner in part.content)
        case Media():
            return len((part.text or "").encode())
        case other:
            return text_size(msgspec.to_builtins(other).get("raw"))


def _media(part: Part) -> int:
    if isinstance(part, ToolResult):
        return sum(_media(inner) for inner in part.content)
    return 1 if isinstance(part, Media) and part.text is None else 0


def _no_stream() -> Reader:
    raise AssertionError("counts are never streamed")
