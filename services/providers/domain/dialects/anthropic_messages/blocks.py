"""The blocks of a conversation, read from what an Anthropic client sends and a vendor answers.

https://platform.claude.com/docs/en/api/messages
"""

from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import (
    Cache,
    Citation,
    Json,
    Media,
    Opaque,
    Part,
    Refused,
    Signature,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    uncarried,
)
from services.providers.domain.shapes import fields, items, word

NAME: Final = "anthropic_messages"
_AFTER: Final = "after."
"""Marks a foreign signature that belongs to the block before it: see ``proof_block``."""
_ENCODE: Final = msgspec.json.Encoder().encode


def cache_of(block: Json) -> Cache | None:
    """Return the mark of ``cache_control``."""
    mark = block.get("cache_control")
    if not isinstance(mark, dict):
        return None
    return Cache(ttl="1h" if cast("Json", mark).get("ttl") == "1h" else "5m")


def blocks_of(content: object, where: str) -> tuple[Part, ...]:
    """Return what a client's message holds; raises Refused naming the block that is at fault."""
    if isinstance(content, str):
        return (Text(text=content),) if content else ()
    parts: list[Part] = []
    for place, given in enumerate(items(content, where)):
        part = _block(fields(given, f"{where}[{place}]"), f"{where}[{place}]")
        proof = _proof_of(part)
        if proof is None:
            parts.append(part)
        elif parts and isinstance(parts[-1], Text | ToolCall):
            parts[-1] = msgspec.structs.replace(parts[-1], signature=proof)
        else:
            parts.append(Text(text="", signature=proof))
    return tuple(parts)


def texts_of(content: object, where: str) -> tuple[Part, ...]:
    """Return instructions: text, or blocks of text; raises Refused."""
    parts = blocks_of(content, where)
    for place, part in enumerate(parts):
        if not isinstance(part, Text):
            raise Refused(f"{where}[{place}]", f"{where} holds text only")
    return parts


def _block(block: Json, where: str) -> Part:
    cache = cache_of(block)
    match block.get("type"):
        case "text":
            return Text(text=_word(block, "text", where), cache=cache, citations=citations_of(block.get("citations")))
        case "image":
            return _media("image", block, where, cache)
        case "document":
            return _document(block, where, cache)
        case "thinking" | "redacted_thinking":
            return thinking_of(block)
        case "tool_use":
            given = fields(block.get("input", {}), f"{where}.input")
            return ToolCall(
                id=_word(block, "id", where),
                name=_word(block, "name", where),
                arguments=_ENCODE(given).decode(),
                cache=cache,
            )
        case "tool_result":
            return _result(block, where, cache)
        case str():
            return Opaque(dialect=NAME, raw=block)
        case _:
            raise Refused(f"{where}.type", f"{where}.type must be text")


def thinking_of(block: Json) -> Thinking:
    """Return a block of reasoning, readable or not."""
    if block.get("type") == "redacted_thinking":
        return Thinking(redacted=True, signature=uncarried(_text(block, "data"), NAME))
    proof = _text(block, "signature")
    return Thinking(text=_text(block, "thinking"), signature=uncarried(proof, NAME) if proof else None)


def proof_block(signature: Signature) -> Json:
    """Return the block that keeps a foreign vendor's proof of the block before it (Gemini signs calls and texts).

    Clients of this dialect send blocks of reasoning back as they came, and have no other place for it.
    """
    return {"type": "redacted_thinking", "data": f"lr1.{signature.origin}.{_AFTER}{signature.value}"}


def _proof_of(part: Part) -> Signature | None:
    if not isinstance(part, Thinking) or not part.redacted or part.signature is None:
        return None
    found = part.signature
    if found.origin == NAME or not found.value.startswith(_AFTER):
        return None
    return Signature(found.origin, found.value.removeprefix(_AFTER))


def _result(block: Json, where: str, cache: Cache | None) -> ToolResult:
    found: list[Text | Media] = []
    content = block.get("content") or ""
    for place, part in enumerate(blocks_of(content, f"{where}.content")):
        if not isinstance(part, Text | Media):
            raise Refused(f"{where}.content[{place}]", "a tool's result is text, images and documents here")
        found.append(part)
    return ToolResult(
        id=_word(block, "tool_use_id", where), content=tuple(found), error=block.get("is_error") is True, cache=cache
    )


def _media(kind: Any, block: Json, where: str, cache: Cache | None, name: str | None = None) -> Media:
    source, at = fields(block.get("source"), f"{where}.source"), f"{where}.source"
    match source.get("type"):
        case "base64":
            media_type, data = _word(source, "media_type", at), _word(source, "data", at)
            return Media(kind=kind, media_type=media_type, data=data, name=name, cache=cache)
        case "url":
            return Media(kind=kind, url=_word(source, "url", at), name=name, cache=cache)
        case "file":
            return Media(kind=kind, file_id=_word(source, "file_id", at), name=name, cache=cache)
        case other:
            raise Refused(f"{at}.type", f"sources of type {other!r} are not known")


def _document(block: Json, where: str, cache: Cache | None) -> Media:
    """Return a document; that the answer shall cite it, or what is told about it, has no form elsewhere."""
    wanted = block.get("citations")
    if isinstance(wanted, dict) and cast("Json", wanted).get("enabled") is True:
        raise Refused(f"{where}.citations", "citations of documents are only had from Anthropic")
    if block.get("context"):
        raise Refused(f"{where}.context", "the context of a document can only be said to Anthropic")
    name = _text(block, "title") or None
    source, at = fields(block.get("source"), f"{where}.source"), f"{where}.source"
    match source.get("type"):
        case "text":
            return Media(kind="document", text=_word(source, "data", at), name=name, cache=cache)
        case "content":
            content = source.get("content")
            texts = [part.text for part in texts_of(content, f"{at}.content") if isinstance(part, Text)]
            return Media(kind="document", text="\n\n".join(texts), name=name, cache=cache)
        case _:
            return _media("document", block, where, cache, name)


def citations_of(raw: object) -> tuple[Citation, ...]:
    """Return the sources of a text, leniently."""
    if not isinstance(raw, list):
        return ()
    return tuple(citation_of(cast("Json", one)) for one in cast("list[object]", raw) if isinstance(one, dict))


def citation_of(raw: Json) -> Citation:
    """Return one source."""
    document = raw.get("document_index")
    return Citation(
        url=_text(raw, "url") or None,
        title=_text(raw, "title") or _text(raw, "document_title") or None,
        quote=_text(raw, "cited_text") or None,
        document=document if type(document) is int else None,
        raw=raw,
    )


def _word(block: Json, name: str, where: str) -> str:
    return word(block.get(name), f"{where}.{name}")


def _text(block: Json, name: str) -> str:
    found = block.get(name)
    return found if isinstance(found, str) else ""
