"""A vendor's stream of events as deltas.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import (
    Begin,
    CallDelta,
    CitationDelta,
    Counted,
    Delta,
    Ended,
    Failed,
    Finished,
    Json,
    Opaque,
    OpaqueDelta,
    RefusalDelta,
    RefusalText,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
)
from services.providers.domain.dialect import Malformed
from services.providers.domain.dialects.openai_responses.answer import (
    citation_of,
    decode_item,
    finish_of,
    text_in,
    usage_of,
)


class _Event(msgspec.Struct, gc=False):
    """What any event may say; vendors leave out much of it."""

    type: str = ""
    delta: Any = None
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    logprobs: Any = None
    item: Any = None
    annotation: Any = None
    response: Any = None
    error: Any = None
    code: Any = None
    message: Any = None


_DECODE: Final = msgspec.json.Decoder(_Event).decode
_END: Final = b"[DONE]"
"""What some vendors send after the last event, which says the same."""


class _Item:
    """An item of the output, as far as it came."""

    __slots__ = ("cited", "heard", "id", "paragraphs", "parts")

    def __init__(self, item_id: str | None = None) -> None:
        self.id = item_id
        self.parts: dict[tuple[str, int], int] = {}
        """The number of each of its parts, in order, by kind and place."""
        self.paragraphs: set[tuple[str, int]] = set()
        self.cited = 0
        self.heard = False
        """Whether any of its words came by themselves."""


class Decoder:
    """Reads one vendor's stream; see ``StreamDecoder``."""

    def __init__(self) -> None:
        self._items: dict[int, _Item] = {}
        self._next = 0
        self._called = self._refused = False
        self._on: dict[str, Callable[[_Event], Iterable[Delta]]] = {
            "response.output_text.delta": self._text,
            "response.reasoning_summary_text.delta": self._summary,
            "response.reasoning_text.delta": self._reasoning,
            "response.function_call_arguments.delta": self._arguments,
            "response.refusal.delta": self._refusal,
            "response.output_text.annotation.added": self._annotation,
            "response.output_item.added": self._added,
            "response.output_item.done": self._done,
            "response.created": self._created,
            "response.completed": self._completed,
            "response.incomplete": self._completed,
            "response.failed": self._failed,
            "error": self._failed,
        }

    def feed(self, event: str, data: bytes) -> Iterable[Delta]:
        """Take one event; raises Malformed."""
        if data == _END:
            return ()
        found = _DECODE(data)
        act = self._on.get(found.type or event)
        return () if act is None else act(found)

    def _item(self, index: int) -> _Item:
        item = self._items.get(index)
        if item is None:
            item = self._items[index] = _Item()
        return item

    def _part(self, item: _Item, kind: str, number: int) -> int:
        key = (kind, number)
        part = item.parts.get(key)
        if part is None:
            part = item.parts[key] = self._next
            self._next += 1
        return part

    def _text(self, event: _Event) -> Iterable[Delta]:
        if not isinstance(event.delta, str):
            return ()
        item = self._item(event.output_index)
        item.heard = True
        part = self._part(item, "text", event.content_index)
        return (TextDelta(part, event.delta, logprobs={"content": event.logprobs} if event.logprobs else None),)

    def _refusal(self, event: _Event) -> Iterable[Delta]:
        if not isinstance(event.delta, str):
            return ()
        self._refused = True
        item = self._item(event.output_index)
        item.heard = True
        return (RefusalDelta(self._part(item, "text", event.content_index), event.delta),)

    def _summary(self, event: _Event) -> Iterable[Delta]:
        return self._thought(event, "summary", event.summary_index)

    def _reasoning(self, event: _Event) -> Iterable[Delta]:
        return self._thought(event, "reasoning", event.content_index)

    def _thought(self, event: _Event, kind: str, number: int) -> Iterable[Delta]:
        """Return more of a thought: its paragraphs, each a part on the wire, are one."""
        if not isinstance(event.delta, str):
            return ()
        item = self._item(event.output_index)
        item.heard = True
        new = (kind, 0) not in item.parts
        part, text = self._part(item, kind, 0), event.delta
        if (kind, number) not in item.paragraphs:
            item.paragraphs.add((kind, number))
            text = text if new else f"\n\n{text}"
        return (ThinkingDelta(part, text, summary=kind == "summary", id=item.id if new else None),)

    def _arguments(self, event: _Event) -> Iterable[Delta]:
        item = self._items.get(event.output_index)
        part = None if item is None else item.parts.get(("call", 0))
        if item is None or part is None or not isinstance(event.delta, str):
            return ()
        item.heard = True
        return (CallDelta(part, event.delta),)

    def _annotation(self, event: _Event) -> Iterable[Delta]:
        if not isinstance(event.annotation, dict):
            return ()
        item = self._item(event.output_index)
        item.cited += 1
        return (CitationDelta(self._part(item, "text", event.content_index), citation_of(event.annotation)),)

    def _added(self, event: _Event) -> Iterable[Delta]:
        if not isinstance(event.item, dict):
            return ()
        found = cast("Json", event.item)
        item = self._items[event.output_index] = _Item(text_in(found, "id"))
        if found.get("type") != "function_call":
            return ()
        call_id, name = text_in(found, "call_id") or item.id, text_in(found, "name")
        if call_id is None or name is None:
            raise Malformed("the vendor's function call has no id or name")
        self._called = True
        return (CallDelta(self._part(item, "call", 0), id=call_id, name=name),)

    def _done(self, event: _Event) -> Iterable[Delta]:
        """Return what an item holds that did not come by itself before."""
        if not isinstance(event.item, dict):
            return ()
        found, item = cast("Json", event.item), self._item(event.output_index)
        logprobs: list[Any] = []
        deltas: list[Delta] = []
        for number, part in enumerate(decode_item(found, logprobs)):
            match part:
                case Text():
                    place = self._part(item, "text", number)
                    if not item.heard:
                        deltas.append(TextDelta(place, part.text, logprobs={"content": logprobs} if logprobs else None))
                        logprobs = []
                    missing = part.citations[item.cited :]
                    item.cited = max(0, item.cited - len(part.citations))
                    deltas += [CitationDelta(place, citation) for citation in missing]
                case RefusalText() if not item.heard:
                    self._refused = True
                    deltas.append(RefusalDelta(self._part(item, "text", number), part.text))
                case Thinking():
                    deltas += self._thought_whole(item, part)
                case ToolCall() if not item.heard:
                    new = ("call", 0) not in item.parts
                    self._called = True
                    place = self._part(item, "call", 0)
                    call = CallDelta(place, part.arguments, part.id if new else None, part.name if new else None)
                    deltas.append(call)
                case Opaque():
                    deltas.append(OpaqueDelta(self._part(item, "opaque", 0), part))
                case _:
                    pass
        return deltas

    def _thought_whole(self, item: _Item, part: Thinking) -> Iterable[Delta]:
        kind = "redacted" if part.redacted else "summary" if part.summary else "reasoning"
        if not item.heard:
            place = self._part(item, kind, 0)
            yield ThinkingDelta(
                place, part.text, signature=part.signature, redacted=part.redacted, summary=part.summary, id=part.id
            )
        elif part.signature is not None:
            last = max(item.parts.values())
            yield ThinkingDelta(last, signature=part.signature, summary=part.summary)

    def _created(self, event: _Event) -> Iterable[Delta]:
        response = _response(event)
        id_, model, tier = (text_in(response, name) for name in ("id", "model", "service_tier"))
        return (Begin(id=id_, model=model, service_tier=tier),)

    def _completed(self, event: _Event) -> Iterable[Delta]:
        response = _response(event)
        tokens = usage_of(response.get("usage"))
        if tokens is not None:
            yield Counted(tokens)
        yield Finished(finish_of(response, called=self._called, refused=self._refused))
        yield Ended()

    def _failed(self, event: _Event) -> Iterable[Delta]:
        """Return the error: of the response, in a block of its own, or the event itself."""
        response = cast("Json", event.response) if isinstance(event.response, dict) else {}
        error = response.get("error") or event.error
        return (Failed(error or {"code": event.code, "message": event.message or "the vendor's response failed"}),)


def _response(event: _Event) -> Json:
    if not isinstance(event.response, dict):
        raise Malformed("the vendor's event holds no response")
    return cast("Json", event.response)
