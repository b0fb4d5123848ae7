"""Cohere's answers. https://docs.cohere.com/reference/chat, https://docs.cohere.com/reference/chat-stream"""

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import (
    Answer,
    Begin,
    CallDelta,
    Choice,
    Citation,
    CitationDelta,
    Counted,
    Delta,
    Ended,
    Failed,
    Finish,
    Finished,
    Json,
    Part,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
)
from services.providers.domain.dialect import Malformed, VendorFailed
from services.providers.domain.usage import count
from shared.contracts.usage import NO_TOKENS, Tokens

_FINISH: Final[Mapping[str | None, Finish]] = {
    "MAX_TOKENS": Finish.LENGTH,
    "TOOL_CALL": Finish.TOOL_CALLS,
    "ERROR_TOXIC": Finish.CONTENT_FILTER,
}
_BROKEN: Final = ("ERROR", "TIMEOUT")


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Block(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class _Message(msgspec.Struct, gc=False):
    content: list[_Block] | None = None
    tool_plan: str | None = None
    tool_calls: list[_Call] | None = None
    citations: list[Any] | None = None


class _Answer(msgspec.Struct, gc=False):
    message: _Message
    id: str | None = None
    finish_reason: str | None = None
    usage: Any = None


class _Said(msgspec.Struct, gc=False):
    """What a piece of a stream adds; what is a list at the start is an object later."""

    content: Any = None
    tool_plan: Any = None
    tool_calls: Any = None
    citations: Any = None


class _Change(msgspec.Struct, gc=False):
    message: _Said | None = None
    finish_reason: str | None = None
    usage: Any = None
    error: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    index: int = 0
    delta: _Change | None = None
    message: Any = None


_DECODER: Final = msgspec.json.Decoder(_Event)


def decode_answer(body: Json) -> Answer:
    """Read a whole answer; raises VendorFailed, msgspec.ValidationError."""
    answer = msgspec.convert(body, _Answer)
    if answer.finish_reason in _BROKEN:
        raise VendorFailed({"message": f"the vendor's model failed: {answer.finish_reason}"})
    message = answer.message
    parts: list[Part] = [Text(text=message.tool_plan)] if message.tool_plan else []
    parts += [
        Thinking(text=block.thinking) if block.thinking is not None else Text(text=block.text or "")
        for block in message.content or ()
    ]
    for number, citation in _placed(message.citations, parts):
        text = parts[number]
        assert isinstance(text, Text)
        parts[number] = msgspec.structs.replace(text, citations=(*text.citations, citation))
    for call in message.tool_calls or ():
        function = call.function
        if function is None or not function.name or not call.id:
            raise Malformed("a call of the vendor's holds no name or id")
        parts.append(ToolCall(id=call.id, name=function.name, arguments=function.arguments or "{}"))
    finish = _FINISH.get(answer.finish_reason, Finish.STOP)
    return Answer(
        id=answer.id,
        choices=(Choice(parts=tuple(parts), finish=finish),),
        tokens=cohere_usage(answer.usage) or NO_TOKENS,
    )


def _placed(citations: list[Any] | None, parts: list[Part]) -> list[tuple[int, Citation]]:
    """Return each citation with the number of the text that it stands in."""
    texts = [number for number, part in enumerate(parts) if isinstance(part, Text)]
    return [(texts[-1], found) for item in citations or () for found in _citations(item)] if texts else []


class StreamDecoder:
    """Reads one stream; see ``dialect.StreamDecoder``. Contents and calls are numbered each from 0."""

    __slots__ = ("_parts", "_text")

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], int] = {}
        self._text: int | None = None

    def feed(self, event: str, data: bytes) -> list[Delta]:
        """Take one event."""
        del event
        if data == b"[DONE]":
            return [Ended()]
        piece = _DECODER.decode(data)
        change = piece.delta
        said = change.message if change is not None else None
        match piece.type:
            case "message-start":
                return [Begin(id=piece.id)]
            case "content-start" | "content-delta" if said is not None:
                return self._content(piece.index, msgspec.convert(said.content, _Block))
            case "tool-plan-delta" if said is not None and isinstance(said.tool_plan, str):
                return [self._words("plan", 0, said.tool_plan)]
            case "tool-call-start" | "tool-call-delta" if said is not None:
                return [self._call(piece.index, msgspec.convert(said.tool_calls, _Call))]
            case "citation-start" if said is not None and self._text is not None:
                return [CitationDelta(self._text, citation) for citation in _citations(said.citations)]
            case "message-end" if change is not None:
                return _end(change)
            case _:
                if piece.type is None and isinstance(piece.message, str):
                    return [Failed({"message": piece.message})]
                return []

    def _content(self, index: int, block: _Block) -> list[Delta]:
        if block.thinking is not None:
            return [ThinkingDelta(self._part("content", index), block.thinking)] if block.thinking else []
        return [self._words("content", index, block.text)] if block.text else []

    def _words(self, kind: str, index: int, text: str) -> TextDelta:
        self._text = self._part(kind, index)
        return TextDelta(self._text, text)

    def _call(self, index: int, call: _Call) -> CallDelta:
        function = call.function or _Function()
        if ("call", index) not in self._parts and not (call.id and function.name):
            raise Malformed("a call of the vendor's holds no name or id")
        return CallDelta(self._part("call", index), function.arguments or "", call.id, function.name)

    def _part(self, kind: str, index: int) -> int:
        return self._parts.setdefault((kind, index), len(self._parts))


def _end(change: _Change) -> list[Delta]:
    if change.finish_reason in _BROKEN or change.error:
        words = change.error if isinstance(change.error, str) else f"the vendor's model failed: {change.finish_reason}"
        return [Failed({"message": words})]
    tokens = cohere_usage(change.usage)
    finished = Finished(_FINISH.get(change.finish_reason, Finish.STOP))
    return [finished] if tokens is None else [finished, Counted(tokens)]


def _citations(found: object) -> list[Citation]:
    """Return one citation for each of its sources; ``start`` and ``end`` are characters of the text."""
    raw = _object(found)
    start, end, sources = raw.get("start"), raw.get("end"), raw.get("sources")
    made: list[Citation] = []
    for source in cast("list[Any]", sources) if isinstance(sources, list) else []:
        origin = _object(source)
        held = _object(origin.get("document") or origin.get("tool_output"))
        made.append(
            Citation(
                url=_text(held.get("url")),
                title=_text(held.get("title")),
                quote=_text(held.get("text")) or _text(held.get("content")),
                start=count(start),
                end=count(end),
            )
        )
    return made


def cohere_usage(raw: object) -> Tokens | None:
    """Read ``usage``: the billed units, which prices are of. ``tokens`` holds Cohere's own preamble besides, and
    ``cached_tokens`` are a part of those, not of what is billed."""
    block = _object(raw)
    for name in ("billed_units", "tokens"):
        units = _object(block.get(name))
        given, made = count(units.get("input_tokens")), count(units.get("output_tokens"))
        if given is not None or made is not None:
            source = "provider" if given is not None and made is not None else "partial"
            return Tokens(input=given or 0, output=made or 0, source=source)
    return None


def _object(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
