"""Whole answers in OpenAI's chat, from and to the canonical form.

https://platform.openai.com/docs/api-reference/chat/object
"""

from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import (
    Answer,
    Choice,
    Finish,
    Json,
    Media,
    Opaque,
    Part,
    RefusalText,
    Text,
    Thinking,
    ToolCall,
)
from services.providers.domain.content import data_url, from_data_url
from services.providers.domain.dialect import Asked, Malformed, VendorFailed
from services.providers.domain.dialects.openai_chat.content import annotation, citation_of, searched
from services.providers.domain.dialects.openai_chat.functions import asks_for_functions, with_function_call
from services.providers.domain.dialects.openai_chat.request import call_signature
from services.providers.domain.dialects.openai_chat.thoughts import (
    NAME,
    fields_of,
    shown,
    thinking_part,
    thoughts_of,
)
from services.providers.domain.errors import read_error
from services.providers.domain.usage import openai_usage, openai_usage_block
from shared.contracts.usage import NO_TOKENS

_ENCODE: Final = msgspec.json.Encoder().encode
_FINISH: Final = {
    "length": Finish.LENGTH,
    "model_length": Finish.LENGTH,  # Mistral: the context is full
    "insufficient_system_resource": Finish.LENGTH,  # DeepSeek: cut off
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
}
TIERS: Final = ("auto", "default", "flex", "scale", "priority")
"""The service tiers that clients know; other vendors have names of their own."""
_REASONS: Final = {
    Finish.LENGTH: "length",
    Finish.TOOL_CALLS: "tool_calls",
    Finish.CONTENT_FILTER: "content_filter",
}


def finish_of(reason: str, *, called: bool, refused: bool) -> Finish:
    """Return why an answer ended; a named function that was called ends with ``stop`` at OpenAI's."""
    found = _FINISH.get(reason, Finish.STOP)
    if found is Finish.STOP and called:
        return Finish.TOOL_CALLS
    return Finish.REFUSAL if found is Finish.STOP and refused else found


FUNCTION_CALL: Final = "function_call"
"""The reason to end for a client that knows calls in the older form alone."""


def reason_of(finish: Finish, *, refused: bool) -> str:
    """Return ``finish_reason``; a refusal without words, as Anthropic's, is the nearest thing to a filter."""
    if finish is Finish.REFUSAL and not refused:
        return "content_filter"
    return _REASONS.get(finish, "stop")


def decode_answer(body: Json) -> Answer:
    """Read an answer; raises Malformed, VendorFailed."""
    choices = body.get("choices")
    if body.get("error") or not isinstance(choices, list):
        if read_error(body) is not None:
            raise VendorFailed(body)
        raise Malformed("the vendor's answer holds no choices")
    if not choices:
        raise Malformed("the vendor's answer holds no choices")
    sources = searched(body)
    found: list[Choice] = []
    for raw in cast("list[object]", choices):
        choice = _dict(raw)
        parts = _parts(_dict(choice.get("message") or choice.get("delta")))
        if sources:
            parts = [_with_sources(part, sources) for part in parts]
        reason, logprobs = choice.get("finish_reason"), _dict(choice.get("logprobs"))
        found.append(
            Choice(
                parts=tuple(parts),
                finish=finish_of(
                    reason if isinstance(reason, str) else "",
                    called=any(isinstance(part, ToolCall | Opaque) for part in parts),
                    refused=any(isinstance(part, RefusalText) for part in parts),
                ),
                logprobs=logprobs if any(logprobs.values()) else None,
            )
        )
    return Answer(
        choices=tuple(found),
        id=_text(body.get("id")),
        model=_text(body.get("model")),
        tokens=openai_usage(body.get("usage")) or NO_TOKENS,
        service_tier=_text(body.get("service_tier")),
    )


def _with_sources(part: Part, sources: list[Any]) -> Part:
    return msgspec.structs.replace(part, citations=tuple(sources)) if isinstance(part, Text) else part


def _parts(message: Json) -> list[Part]:
    parts: list[Part] = [*thoughts_of(message)]
    parts += spoken(message.get("content"))
    texts = [place for place, part in enumerate(parts) if isinstance(part, Text)]
    citations = tuple(
        found for found in (citation_of(note) for note in _list(message.get("annotations"))) if found is not None
    )
    if citations and texts:
        parts[texts[-1]] = msgspec.structs.replace(parts[texts[-1]], citations=citations)
    proof = call_signature(message)
    if proof is not None and texts:
        parts[texts[-1]] = msgspec.structs.replace(parts[texts[-1]], signature=proof)
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        parts.append(RefusalText(text=message["refusal"]))
    parts += media_of(message)
    calls = [_dict(call) for call in _list(message.get("tool_calls"))]
    if not calls and _text(_dict(message.get("function_call")).get("name")):
        calls.append({"function": message["function_call"]})
    return parts + [_call(call, place) for place, call in enumerate(calls)]


def spoken(content: object) -> list[Part]:
    """Return content: words, or Mistral's list of parts (https://docs.mistral.ai/capabilities/reasoning/)."""
    if isinstance(content, str):
        return [Text(text=content)] if content else []
    parts: list[Part] = []
    for raw in _list(content):
        part = _dict(raw)
        match part.get("type"):
            case "text" if isinstance(part.get("text"), str) and part["text"]:
                parts.append(Text(text=part["text"]))
            case "thinking":
                parts.append(thinking_part(part))
            case "image_url":
                parts += [media for media in (_image(part),) if media is not None]
            case _:
                pass
    return parts


def media_of(message: Json) -> list[Media]:
    """Return an answered sound (OpenAI's ``audio``) and images (OpenRouter's ``images``)."""
    found: list[Media] = []
    sound = _dict(message.get("audio"))
    if any(sound.get(name) for name in ("id", "data", "transcript")):
        found.append(
            Media(
                kind="audio",
                data=_text(sound.get("data")),
                transcript=_text(sound.get("transcript")),
                file_id=_text(sound.get("id")),
            )
        )
    images = (_image(_dict(raw)) for raw in _list(message.get("images")))
    return found + [image for image in images if image is not None]


def _image(part: Json) -> Media | None:
    inner = part.get("image_url")
    url = _dict(cast("object", inner)).get("url") if isinstance(inner, dict) else inner
    if not isinstance(url, str) or not url:
        return None
    found = from_data_url(url)
    return Media(kind="image", url=url) if found is None else Media(kind="image", media_type=found[0], data=found[1])


def _call(call: Json, place: int) -> ToolCall | Opaque:
    if call.get("type") == "custom" and "function" not in call:
        return Opaque(dialect=NAME, raw=call)
    function = _dict(call.get("function"))
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise Malformed("a tool call without a name")
    return ToolCall(
        id=_text(call.get("id")) or f"call_{place}",
        name=name,
        arguments=arguments_of(function.get("arguments")) or "{}",
        signature=call_signature(call),
    )


def arguments_of(value: object) -> str:
    """Return arguments as JSON in text, which is how nearly all vendors give them."""
    if isinstance(value, str):
        return value
    return "" if value is None else _ENCODE(value).decode()


def encode_answer(answer: Answer, asked: Asked) -> bytes:
    """Write an answer."""
    body: Json = {
        "id": "chatcmpl-" + asked.id,
        "object": "chat.completion",
        "created": asked.created,
        "model": asked.model,
        "choices": [_choice(choice, index, asked) for index, choice in enumerate(answer.choices)],
        "usage": openai_usage_block(answer.tokens),
    }
    if answer.service_tier in TIERS:
        body["service_tier"] = answer.service_tier
    return _ENCODE(body)


def _choice(choice: Choice, index: int, asked: Asked) -> Json:
    refused = any(isinstance(part, RefusalText) for part in choice.parts)
    message, reason = _message(choice.parts, asked), reason_of(choice.finish, refused=refused)
    if asks_for_functions(asked.body) and "tool_calls" in message:
        message, reason = with_function_call(message), FUNCTION_CALL
    return {"index": index, "message": message, "logprobs": choice.logprobs, "finish_reason": reason}


def _message(parts: tuple[Part, ...], asked: Asked) -> Json:
    texts: list[str] = []
    notes: list[Json] = []
    calls: list[Json] = []
    told: Json = {"role": "assistant", "content": None, "refusal": None}
    for part in parts:
        match part:
            case Text():
                offset = sum(map(len, texts))
                texts.append(part.text)
                found = [annotation(citation, offset) for citation in part.citations]
                notes += [note for note in found if note is not None]
                if part.signature is not None:
                    told["extra_content"] = {"google": {"thought_signature": shown(part.signature)[0]}}
            case RefusalText(text=text):
                told["refusal"] = (told["refusal"] or "") + text
            case ToolCall():
                calls.append(_said(part, len(calls), asked))
            case Media():
                _add_media(told, part, asked)
            case Opaque(dialect=dialect, raw=raw) if dialect == NAME:
                calls.append(raw)
            case _:
                pass  # thoughts follow; what only another dialect knows has no place here
    if texts:
        told["content"] = "".join(texts)
    if calls:
        told["tool_calls"] = calls
    if notes:
        told["annotations"] = notes
    return told | fields_of(part for part in parts if isinstance(part, Thinking))


def _said(call: ToolCall, place: int, asked: Asked) -> Json:
    told: Json = {
        "id": call.id or f"call_{asked.id}_{place}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }
    if call.signature is not None:
        told["extra_content"] = {"google": {"thought_signature": shown(call.signature)[0]}}
    return told


def _add_media(told: Json, media: Media, asked: Asked) -> None:
    if media.kind == "audio":
        told["audio"] = {
            "id": media.file_id or "audio_" + asked.id,
            "data": media.data or "",
            "expires_at": asked.created,
            "transcript": media.transcript or "",
        }
    elif media.kind == "image":
        told.setdefault("images", []).append(image_part(media))


def image_part(media: Media) -> Json:
    """Return an answered image as OpenRouter gives it."""
    url = media.url if media.data is None else data_url(media.media_type or "image/png", media.data)
    return {"type": "image_url", "image_url": {"url": url or ""}}


def _dict(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
