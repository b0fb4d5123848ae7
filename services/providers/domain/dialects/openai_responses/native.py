"""Responses on both sides: bytes go on untouched but for the response's id, which tells where it lies."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import SEAL, Json, Refused
from services.providers.domain.dialect import Outgoing, malformed
from services.providers.domain.dialects.openai_responses.answer import finish_of, text_in, usage_of
from services.providers.domain.dialects.openai_responses.names import made_here
from services.providers.domain.errors import UNREADABLE, error_in_answer, error_of
from services.providers.domain.side_reader import SideReader, not_read
from services.providers.domain.sse import event_data, parse_event, split_events
from services.providers.domain.usage import settled
from shared.contracts.frames import Completion, Data, Fail, Frame, Tail
from shared.contracts.response_id import Place, decode_response_id, encode_response_id, why_not_previous
from shared.contracts.usage import NO_TOKENS, Tokens

_OURS: Final = ("models",)
_NO_CONTENT: Final = ("message", "reasoning")
"""Items that are not content by beginning: their words are, or are not."""
_RUNNING: Final = ("queued", "in_progress", "cancelled")
"""States of a response that was asked for in the background."""
_ID: Final = re.compile(rb'"((?:previous_response_|response_)?id)"(\s*:\s*)("(?:[^"\\]|\\.)*")')
_ENCODE: Final = msgspec.json.Encoder().encode


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    delta: Any = None
    item: Any = None
    response: Any = None
    error: Any = None
    code: Any = None
    message: Any = None


_DECODE: Final = msgspec.json.Decoder(_Event).decode
_DECODE_WHOLE: Final = msgspec.json.Decoder().decode


def request_body(request: Completion, quirks: frozenset[str]) -> Json:
    """Return the client's body with the vendor's model and the vendor's id of the response before; raises Refused.

    Thoughts of other vendors, and the ids of items that no vendor gave, are not sent. No quirks are known.
    """
    del quirks
    body = {name: value for name, value in request.body.items() if name not in _OURS}
    body["model"] = request.native_id
    usage = body.get("usage")
    if isinstance(usage, dict) and "include" in usage:
        del body["usage"]
    if request.stream:
        body["stream"] = True
    place = _previous(request)
    if place is not None:
        body["previous_response_id"] = place.vendor_id
    items = body.get("input")
    if isinstance(items, list):
        body["input"] = [item for one in cast("list[Any]", items) if (item := _known(one)) is not None]
    return body


def _previous(request: Completion) -> Place | None:
    """Return where the response lies that the request goes on from; raises Refused."""
    name = request.body.get("previous_response_id")
    if name is None:
        return None
    if not isinstance(name, str):
        raise Refused("previous_response_id", "'previous_response_id' must be a text")
    place = decode_response_id(name)
    if place is None:
        raise Refused("previous_response_id", why_not_previous(name) or name)
    if place.provider_id != request.provider_id:
        raise Refused("previous_response_id", "The response that came before lies with another provider.")
    return place


def _known(item: Any) -> Any:
    """Return an item as the vendor may know it; None for thoughts that are another's."""
    if not isinstance(item, dict):
        return item
    fields = cast("Json", item)
    if fields.get("type") == "reasoning" and str(fields.get("encrypted_content") or "").startswith(SEAL):
        return None
    item_id = fields.get("id")
    if not isinstance(item_id, str) or not made_here(item_id):
        return fields
    return None if fields.get("type") == "reasoning" else {k: v for k, v in fields.items() if k != "id"}


def tied(request: Completion, out: Outgoing) -> Outgoing:
    """Return the request tied to the credential that keeps the response before, and its answer to the one sent."""
    place = _previous(request)

    def bound(credential_id: str | None) -> Outgoing:
        reader = partial(StreamReader, request, credential_id)
        return msgspec.structs.replace(
            out, reader=reader, whole=partial(read_whole, request, credential_id=credential_id)
        )

    return msgspec.structs.replace(out, credential_id=place.credential_id if place else None, bound=bound)


class _Names:
    """The ids by which a client knows the responses of one answer."""

    def __init__(self, request: Completion, credential_id: str | None) -> None:
        self._provider_id = request.provider_id
        self._credential_id = credential_id
        self._known: dict[bytes, bytes] = {}
        place = _previous(request)
        if place is not None:
            self._known[_ENCODE(place.vendor_id)] = _ENCODE(request.body["previous_response_id"])

    def put(self, raw: bytes, response: Mapping[str, Any]) -> bytes:
        """Return the bytes that hold ``response`` with every id of a response as the client knows it."""
        vendor_id = response.get("id")
        if isinstance(vendor_id, str):
            place = Place(self._provider_id, self._credential_id, vendor_id)
            self._known[_ENCODE(vendor_id)] = _ENCODE(encode_response_id(place))
        return _ID.sub(self._renamed, raw)

    def _renamed(self, found: re.Match[bytes]) -> bytes:
        name, colon, value = found.groups()
        known = self._known.get(value)
        return found[0] if known is None else b'"%b"%b%b' % (name, colon, known)


class StreamReader(SideReader):
    """Reads one streamed answer; see ``Reader``."""

    __slots__ = ("_made", "_names", "_response", "_usage")

    def __init__(self, request: Completion, credential_id: str | None = None) -> None:
        super().__init__(request)
        self._names = _Names(request, credential_id)
        self._usage: Tokens | None = None
        self._response: Json = {}
        self._made: set[str] = set()
        """The kinds of items and words that came."""

    def _read(self, whole: bytes) -> list[Frame]:
        passed: list[bytes] = []
        for event in split_events(whole):
            data = _data(event)
            if not data or data == b"[DONE]":
                passed.append(event)
                continue
            try:
                found = _DECODE(data)
            except UNREADABLE:
                return [*self._passed(passed), self._fail(not_read(data))]
            self._began = True
            kind, delta = found.type, found.delta
            if type(delta) is str:
                self._size += len(delta)
                if kind == "response.output_text.delta":
                    self._content = True
                elif delta:
                    self._word(str(kind))
            elif found.item is not None:
                self._item(found.item)
            elif isinstance(found.response, dict):
                response = cast("Json", found.response)
                event = self._names.put(event, response)
                if kind in ("response.completed", "response.incomplete"):
                    self._response = response
                    return [*self._passed(passed), self._end(event)]
                if kind == "response.failed":
                    error = response.get("error") or "the vendor's response failed"
                    return [*self._passed(passed), self._fail(error_in_answer(error_of(error)))]
            elif kind == "error" or (found.error and not kind):
                error = found.error or {"code": found.code, "message": found.message}
                return [*self._passed(passed), self._fail(error_in_answer(error_of(error)))]
            passed.append(event)
        return self._passed(passed)

    def _word(self, kind: str) -> None:
        """Note words that are not plain text: reasoning is life, all else content."""
        if "reasoning" not in kind:
            self._content = True
            self._made.add(kind)

    def _item(self, item: Any) -> None:
        """Note that an item began or ended."""
        kind = cast("Json", item).get("type") if isinstance(item, dict) else None
        if isinstance(kind, str) and kind not in _NO_CONTENT:
            self._content = True
            self._size += 1
            self._made.add(kind)

    def _is_over(self) -> bool:
        return False  # the end is an event of its own, and holds the whole response

    def _said(self) -> Tokens | None:
        return self._usage

    def _end(self, closing: bytes = b"") -> Tail | Fail:
        response = self._response
        self._usage = usage_of(response.get("usage")) or self._usage
        if not self._content and response.get("status") != "incomplete":
            return self._fail(malformed("the vendor's answer holds no content"))
        self._answered = text_in(response, "model")
        finish = finish_of(
            response, called="function_call" in self._made, refused="response.refusal.delta" in self._made
        )
        return self._whole(finish.value, closing)


def _data(event: bytes) -> bytes | None:
    """Return an event's data, quickly for one that is its name and one line."""
    if event.startswith(b"event: "):
        at = event.find(b"\ndata: ") + 7
        if at > 7 and event.find(b"\n", 7) == at - 7 and event.find(b"\n", at) == len(event) - 2 and b"\r" not in event:
            return event[at:-2]
        found = parse_event(event)
        return None if found is None else found.data
    return event_data(event)


def read_whole(request: Completion, body: bytes, *, credential_id: str | None = None) -> list[Frame]:
    """Read a whole answer of status 200: its bytes and the tail, or the failure that it is."""
    try:
        parsed: Any = _DECODE_WHOLE(body)
    except UNREADABLE:
        return [not_read(body)]
    if not isinstance(parsed, dict):
        return [not_read(body)]
    response = cast("Json", parsed)
    if response.get("error") or response.get("status") == "failed":
        return [error_in_answer(error_of(response.get("error") or "the vendor's response failed"))]
    output = response.get("output")
    if not isinstance(output, list):
        return [not_read(body)]
    kinds, size = _weighed(cast("list[Any]", output))
    status = response.get("status")
    if not kinds and status != "incomplete" and status not in _RUNNING:
        return [malformed("the vendor's answer holds no content")]
    finish = finish_of(response, called="function_call" in kinds, refused="refusal" in kinds)
    tail = Tail(
        tokens=NO_TOKENS
        if status in _RUNNING
        else settled(usage_of(response.get("usage")), request.body, size, whole=True),
        answered=text_in(response, "model"),
        finish_reason=None if status in _RUNNING else finish.value,
    )
    return [Data(_Names(request, credential_id).put(body, response), content=True), tail]


def _weighed(output: list[Any]) -> tuple[set[str], int]:
    """Return the kinds of content that a whole output holds, and how many bytes of it and of reasoning, about."""
    kinds: set[str] = set()
    size = 0
    for item in output:
        if not isinstance(item, dict):
            continue
        fields = cast("Json", item)
        kind = str(fields.get("type"))
        content = fields.get("content")
        blocks = cast("list[Any]", content) if isinstance(content, list) else []
        texts = [cast("Json", block) for block in blocks if isinstance(block, dict)]
        size += sum(len(str(block.get("text") or block.get("refusal") or "")) for block in texts)
        if kind not in _NO_CONTENT:
            kinds.add(kind)
            size += len(str(fields.get("arguments") or ""))
        elif kind == "message":
            kinds |= {str(block.get("type")) for block in texts if block.get("text") or block.get("refusal")}
    return kinds, size
