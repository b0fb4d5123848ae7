"""Whole answers of Anthropic's messages, read and written.

https://platform.claude.com/docs/en/api/messages/create
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import (
    Answer,
    Choice,
    Citation,
    Finish,
    Json,
    Media,
    Opaque,
    Part,
    RefusalText,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    carried,
)
from services.providers.domain.content import data_url
from services.providers.domain.dialect import Asked, Malformed, VendorFailed
from services.providers.domain.dialects.anthropic_messages.blocks import (
    NAME,
    citations_of,
    proof_block,
    thinking_of,
)
from services.providers.domain.dialects.anthropic_messages.turns import input_of, own_citation, tool_id
from services.providers.domain.dialects.anthropic_messages.usage import usage_block, usage_of
from shared.contracts.usage import NO_TOKENS

FINISHES: Final[Mapping[str, Finish]] = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "tool_use": Finish.TOOL_CALLS,
    "pause_turn": Finish.PAUSE,
    "refusal": Finish.REFUSAL,
}
_REASONS: Final[Mapping[Finish, str]] = {
    Finish.STOP: "end_turn",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
    Finish.CONTENT_FILTER: "refusal",
    Finish.REFUSAL: "refusal",
    Finish.PAUSE: "pause_turn",
}
_ENCODE: Final = msgspec.json.Encoder().encode


def decode_answer(body: Json) -> Answer:
    """Return an answer; raises Malformed, VendorFailed."""
    if body.get("type") == "error" or "error" in body:
        raise VendorFailed(body.get("error") or body)
    content = body.get("content")
    if not isinstance(content, list):
        raise Malformed("the vendor's answer holds no content")
    parts = [part for block in cast("list[object]", content) if (part := _part(block)) is not None]
    reason, sequence = body.get("stop_reason"), body.get("stop_sequence")
    choice = Choice(
        parts=tuple(parts),
        finish=finish_of(reason),
        stop_sequence=sequence if isinstance(sequence, str) else None,
    )
    usage = body.get("usage")
    return Answer(
        choices=(choice,),
        id=_text(body, "id"),
        model=_text(body, "model"),
        tokens=usage_of(usage) or NO_TOKENS,
        service_tier=_text(cast("Json", usage), "service_tier") if isinstance(usage, dict) else None,
    )


def finish_of(reason: object) -> Finish:
    """Return why an answer ended; what is not known is its end."""
    return FINISHES.get(reason, Finish.STOP) if isinstance(reason, str) else Finish.STOP


def _part(given: object) -> Part | None:
    if not isinstance(given, dict):
        raise Malformed("a block of the vendor's answer is no object")
    block = cast("Json", given)
    match block.get("type"):
        case "text":
            return Text(text=_text(block, "text") or "", citations=citations_of(block.get("citations")))
        case "thinking" | "redacted_thinking":
            return thinking_of(block)
        case "tool_use":
            arguments = _ENCODE(block.get("input") or {}).decode()
            return ToolCall(id=_text(block, "id") or "", name=_text(block, "name") or "", arguments=arguments)
        case str():
            return Opaque(dialect=NAME, raw=block)
        case _:
            raise Malformed("a block of the vendor's answer has no type")


def _text(fields: Json, name: str) -> str | None:
    found = fields.get(name)
    return found if isinstance(found, str) else None


def encode_answer(answer: Answer, asked: Asked) -> bytes:
    """Return an answer as Anthropic gives it: of several, the first, as its clients cannot ask for more."""
    choice = answer.choices[0] if answer.choices else Choice(parts=())
    body: Json = {
        "id": f"msg_{asked.id}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": list(_blocks(choice.parts)),
        "stop_reason": reason_of(choice.finish, choice.stop_sequence),
        "stop_sequence": choice.stop_sequence,
        "usage": usage_block(answer.tokens),
    }
    return _ENCODE(body)


def reason_of(finish: Finish, stop_sequence: str | None) -> str:
    """Return why an answer ended, in Anthropic's words."""
    return "stop_sequence" if finish is Finish.STOP and stop_sequence is not None else _REASONS[finish]


def _blocks(parts: tuple[Part, ...]) -> Iterator[Json]:
    for part in parts:
        block = block_of(part)
        if block is not None:
            yield block
        if isinstance(part, Text | ToolCall) and part.signature is not None:
            yield proof_block(part.signature)


def block_of(part: Part) -> Json | None:
    """Return a block; None for an empty text, and for what only another vendor's dialect knows: traces of its own
    tools, whose outcome the texts tell."""
    match part:
        case Text(text=text, citations=citations):
            sources = [citation_block(one) for one in citations]
            return {"type": "text", "text": text, "citations": sources or None} if text else None
        case RefusalText(text=text):
            return {"type": "text", "text": text, "citations": None} if text else None
        case Thinking():
            return thinking_block(part)
        case ToolCall():
            return {"type": "tool_use", "id": tool_id(part.id), "name": part.name, "input": input_of(part.arguments)}
        case Media():
            return {"type": "text", "text": media_text(part), "citations": None}
        case Opaque(dialect=dialect, raw=raw):
            return raw if dialect == NAME else None
        case ToolResult():
            return None


def thinking_block(part: Thinking) -> Json:
    """Return reasoning with its proof, a foreign one marked so that it finds its way back."""
    proof = "" if part.signature is None else carried(part.signature, NAME)
    if part.redacted:
        return {"type": "redacted_thinking", "data": proof}
    return {"type": "thinking", "thinking": part.text, "signature": proof}


def media_text(media: Media) -> str:
    """Return what is answered besides text, which has no block here: a sound's words, a picture as Markdown."""
    if media.transcript is not None:
        return media.transcript
    url = media.url or data_url(media.media_type, media.data or "")
    return f"![{media.name or media.kind}]({url})"


def citation_block(citation: Citation) -> Json:
    """Return a source as Anthropic wrote it, or another vendor's as a find of a search."""
    own = own_citation(citation)
    if own is not None:
        return own
    found: dict[str, Any] = {
        "type": "web_search_result_location",
        "url": citation.url or "",
        "title": citation.title,
        "cited_text": citation.quote or "",
        "encrypted_index": "",
    }
    return found
