"""A conversation as Anthropic takes it: instructions apart, turns in turn, the results of tools first in theirs.

https://platform.claude.com/docs/en/api/messages, .../agents-and-tools/tool-use/handle-tool-calls
"""

import base64
import binascii
import hashlib
import re
from typing import Final, cast

import msgspec

from services.providers.domain.canonical import (
    Cache,
    Citation,
    Json,
    Media,
    Message,
    Opaque,
    Part,
    RefusalText,
    Refused,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from services.providers.domain.dialects.anthropic_messages.blocks import NAME

_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_NOT_ID: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_DECODE: Final = msgspec.json.Decoder().decode
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError)


def system_of(messages: tuple[Message, ...]) -> str | list[Json] | None:
    """Return the instructions: wherever they stand, they come first, in their order."""
    blocks = [
        _text(part, f"messages[{place}].content[{at}]")
        for place, message in enumerate(messages)
        if message.role == "system"
        for at, part in enumerate(message.parts)
        if not isinstance(part, Text) or part.text.strip()
    ]
    if len(blocks) == 1 and len(blocks[0]) == 2:
        return blocks[0]["text"]
    return blocks or None


def _text(part: Part, where: str) -> Json:
    if not isinstance(part, Text):
        raise Refused(where, "Anthropic takes instructions as text only")
    return {"type": "text", "text": part.text, **marked(part.cache)}


def turns_of(messages: tuple[Message, ...]) -> list[Json]:
    """Return the turns; raises Refused for what cannot be said.

    Turns of one role are joined, empty texts left out, blank ends of a last turn of the assistant's cut.
    """
    turns: list[tuple[str, list[Json]]] = []
    for place, message in enumerate(messages):
        if message.role == "system":
            continue
        blocks = [
            block
            for at, part in enumerate(message.parts)
            if (block := _block(part, message.role, f"messages[{place}].content[{at}]")) is not None
        ]
        if not blocks:
            continue
        if turns and turns[-1][0] == message.role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((message.role, blocks))
    if not turns:
        raise Refused("messages", "the conversation holds no content")
    if turns[-1][0] == "assistant":
        _trim(turns)
    return [{"role": role, "content": _in_order(blocks)} for role, blocks in turns]


def _in_order(blocks: list[Json]) -> list[Json]:
    return sorted(blocks, key=lambda block: block["type"] != "tool_result")


def _trim(turns: list[tuple[str, list[Json]]]) -> None:
    blocks = turns[-1][1]
    if blocks[-1]["type"] == "text":
        blocks[-1]["text"] = blocks[-1]["text"].rstrip()
        if not blocks[-1]["text"]:
            del blocks[-1]
        if not blocks:
            del turns[-1]


def thought_first(turns: list[Json]) -> bool:
    """Whether the turn that a tool's results answer begins with reasoning, as thinking with a budget demands.

    https://platform.claude.com/docs/en/build-with-claude/extended-thinking#extended-thinking-with-tool-use
    """
    last = turns[-1]["content"]
    if turns[-1]["role"] != "user" or last[0]["type"] != "tool_result" or len(turns) < 2:
        return True
    return turns[-2]["content"][0]["type"] in ("thinking", "redacted_thinking")


def _block(part: Part, role: str, where: str) -> Json | None:
    """Return a block, or None for what is left out: empty texts, and reasoning that another vendor cannot check."""
    match part:
        case Text(text=text):
            if not text or (role == "user" and not text.strip()):
                return None
            citations = [raw for one in part.citations if (raw := own_citation(one)) is not None]
            cited = {"citations": citations} if citations and role == "assistant" else {}
            return {"type": "text", "text": text, **cited, **marked(part.cache)}
        case RefusalText(text=text):
            return {"type": "text", "text": text} if text.strip() else None
        case Media():
            if role != "user":
                raise Refused(where, "Anthropic takes images and documents from the user only")
            return {**_media(part, where), **marked(part.cache)}
        case Thinking():
            return _thinking(part)
        case ToolCall():
            call = {"type": "tool_use", "id": tool_id(part.id), "name": part.name, "input": input_of(part.arguments)}
            return {**call, **marked(part.cache)}
        case ToolResult():
            return _result(part, where)
        case Opaque(dialect=dialect, raw=raw):
            if dialect != NAME:
                raise Refused(where, f"what only {dialect} knows cannot be said to Anthropic")
            return raw


def _thinking(part: Thinking) -> Json | None:
    if part.signature is None or part.signature.origin != NAME:
        return None
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.signature.value}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature.value}


def _result(part: ToolResult, where: str) -> Json:
    content: list[Json] = []
    for at, inner in enumerate(part.content):
        if isinstance(inner, Media):
            content.append({**_media(inner, f"{where}.content[{at}]"), **marked(inner.cache)})
        elif inner.text.strip():
            content.append({"type": "text", "text": inner.text, **marked(inner.cache)})
    found: Json = {"type": "tool_result", "tool_use_id": tool_id(part.id)}
    if content:
        found["content"] = content
    if part.error:
        found["is_error"] = True
    return {**found, **marked(part.cache)}


def tool_id(given: str) -> str:
    """Return the id of a call in the letters that Anthropic allows; the same for the same, others for others."""
    if _ID.fullmatch(given):
        return given
    digest = hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{_NOT_ID.sub('_', given)[:40]}_{digest}"


def input_of(arguments: str) -> Json:
    """Return a call's arguments; what is no JSON object is wrapped as Anthropic recommends.

    https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming
    """
    try:
        found: object = _DECODE(arguments.encode()) if arguments.strip() else {}
    except (*_UNREADABLE, UnicodeError):
        return {"INVALID_JSON": arguments}
    return cast("Json", found) if isinstance(found, dict) else {"INVALID_JSON": arguments}


def _media(media: Media, where: str) -> Json:
    if media.file_id is not None:
        raise Refused(where, "a file that lies with another vendor cannot be given to Anthropic")
    match media.kind:
        case "image":
            return {"type": "image", "source": _image(media, where)}
        case "document":
            title = {} if not media.name else {"title": media.name}
            return {"type": "document", "source": _document(media, where), **title}
        case kind:
            raise Refused(where, f"Anthropic takes no {kind}")


def _image(media: Media, where: str) -> Json:
    if media.data is None:
        if media.url is None:
            raise Refused(where, "the image is missing")
        return {"type": "url", "url": media.url}
    media_type = (media.media_type or "image/png").replace("image/jpg", "image/jpeg")
    if media_type not in _IMAGES:
        raise Refused(where, f"Anthropic takes images as {', '.join(_IMAGES)}, not {media_type}")
    return {"type": "base64", "media_type": media_type, "data": media.data}


def _document(media: Media, where: str) -> Json:
    if media.text is not None:
        return _plain(media.text)
    if media.data is None:
        if media.url is None:
            raise Refused(where, "the document is missing")
        return {"type": "url", "url": media.url}
    media_type = media.media_type or "application/pdf"
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": media.data}
    if not media_type.startswith("text/") and media_type != "application/json":
        raise Refused(where, f"Anthropic takes documents as PDF or text, not {media_type}")
    try:
        return _plain(base64.b64decode(media.data).decode())
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Refused(where, "the document is no text in UTF-8") from error


def _plain(text: str) -> Json:
    return {"type": "text", "media_type": "text/plain", "data": text}


def marked(cache: Cache | None) -> Json:
    """Return the field that marks a block for the cache."""
    if cache is None:
        return {}
    return {"cache_control": {"type": "ephemeral"} if cache.ttl == "5m" else {"type": "ephemeral", "ttl": cache.ttl}}


def own_citation(citation: Citation) -> Json | None:
    """Return a source as Anthropic wrote it; None for one of another vendor's."""
    kind = (citation.raw or {}).get("type")
    return citation.raw if isinstance(kind, str) and kind.endswith("_location") else None
