"""A stream's deltas, gathered into the answer that they are."""

from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import (
    Answer,
    Begin,
    CallDelta,
    Choice,
    CitationDelta,
    Counted,
    Delta,
    Finish,
    Finished,
    MediaDelta,
    OpaqueDelta,
    Part,
    RefusalDelta,
    RefusalText,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
)
from shared.contracts.usage import NO_TOKENS

_REPLACE: Final = msgspec.structs.replace


def gathered(deltas: Iterable[Delta]) -> Answer:
    """Return the whole answer; ``Ended`` and ``Failed`` are passed over."""
    parts: dict[int, dict[int, Part]] = {}
    finished: dict[int, Finished] = {}
    logprobs: dict[int, list[Any]] = {}
    begin, tokens = Begin(), NO_TOKENS
    for delta in deltas:
        match delta:
            case Begin():
                begin = delta
            case Counted(tokens):
                pass
            case Finished(choice=choice):
                finished[choice] = delta
                parts.setdefault(choice, {})
            case TextDelta() | ThinkingDelta() | CallDelta() | RefusalDelta() | MediaDelta() | OpaqueDelta():
                held = parts.setdefault(delta.choice, {})
                held[delta.part] = _grown(held.get(delta.part), delta)
                if isinstance(delta, TextDelta) and delta.logprobs is not None:
                    logprobs.setdefault(delta.choice, []).extend(_tokens_of(delta.logprobs))
            case CitationDelta(part=place, citation=citation, choice=choice):
                held = parts.setdefault(choice, {})
                text = held.get(place)
                text = text if isinstance(text, Text) else Text(text="")
                held[place] = _REPLACE(text, citations=(*text.citations, citation))
            case _:
                pass
    return Answer(
        id=begin.id,
        model=begin.model,
        service_tier=begin.service_tier,
        tokens=tokens,
        choices=tuple(_choice(parts[number], finished.get(number), logprobs.get(number)) for number in sorted(parts)),
    )


def _choice(parts: dict[int, Part], finished: Finished | None, logprobs: list[Any] | None) -> Choice:
    return Choice(
        parts=tuple(parts[number] for number in sorted(parts)),
        finish=finished.reason if finished else Finish.STOP,
        stop_sequence=finished.stop_sequence if finished else None,
        logprobs=None if logprobs is None else {"content": logprobs},
    )


def _tokens_of(logprobs: Any) -> list[Any]:
    content = cast("dict[str, Any]", logprobs).get("content") if isinstance(logprobs, dict) else None
    return cast("list[Any]", content) if isinstance(content, list) else []


_Grows = TextDelta | ThinkingDelta | CallDelta | RefusalDelta | MediaDelta | OpaqueDelta


def _grown(part: Part | None, delta: _Grows) -> Part:
    """Return a part with what a delta adds; one of another kind begins anew."""
    match delta:
        case TextDelta():
            text = part if isinstance(part, Text) else Text(text="")
            return _REPLACE(text, text=text.text + delta.text, signature=delta.signature or text.signature)
        case ThinkingDelta():
            thought = part if isinstance(part, Thinking) else Thinking()
            return _REPLACE(
                thought,
                text=thought.text + delta.text,
                signature=delta.signature or thought.signature,
                redacted=delta.redacted or thought.redacted,
                summary=delta.summary or thought.summary,
                id=delta.id or thought.id,
            )
        case CallDelta():
            call = part if isinstance(part, ToolCall) else ToolCall(id="", name="", arguments="")
            return _REPLACE(
                call,
                id=delta.id or call.id,
                name=delta.name or call.name,
                arguments=call.arguments + delta.arguments,
                signature=delta.signature or call.signature,
            )
        case RefusalDelta():
            words = part.text if isinstance(part, RefusalText) else ""
            return RefusalText(text=words + delta.text)
        case MediaDelta():
            return delta.media
        case OpaqueDelta():
            return delta.opaque
