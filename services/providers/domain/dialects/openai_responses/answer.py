"""Whole answers: a vendor's Response as the canonical form, and the canonical form as the Response of a client.

https://platform.openai.com/docs/api-reference/responses/object
"""

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
    Signature,
    Text,
    Thinking,
    ToolCall,
    carried,
)
from services.providers.domain.dialect import Asked, Malformed, VendorFailed
from services.providers.domain.dialects.openai_responses.items import thoughts
from services.providers.domain.dialects.openai_responses.logprobs import tokens_of
from services.providers.domain.dialects.openai_responses.names import (
    CARRIES_CALL,
    CARRIES_TEXT,
    DIALECT,
    MADE,
    THOUGHT,
)
from services.providers.domain.usage import count
from shared.contracts.response_id import translated_response_id
from shared.contracts.usage import NO_TOKENS, Tokens

_ENCODE: Final = msgspec.json.Encoder().encode
_ECHOED: Final = ("instructions", "max_output_tokens", "metadata", "prompt_cache_key", "temperature", "top_p", "user")
_TIERS: Final = ("auto", "default", "flex", "scale", "priority")
_INCOMPLETE: Final = {Finish.LENGTH: "max_output_tokens", Finish.CONTENT_FILTER: "content_filter"}


def usage_of(raw: object) -> Tokens | None:
    """Read the usage of a Response: input includes the cached tokens, output the reasoning.

    https://platform.openai.com/docs/api-reference/responses/object. None where neither side is a count.
    """
    if not isinstance(raw, dict):
        return None
    block = cast("Json", raw)
    given, made = count(block.get("input_tokens")), count(block.get("output_tokens"))
    if given is None and made is None:
        return None
    source = "provider" if given is not None and made is not None else "partial"
    given, made = given or 0, made or 0
    cached = min(_detail(block, "input_tokens_details", "cached_tokens"), given)
    written = min(_detail(block, "input_tokens_details", "cache_write_tokens"), given - cached)
    reasoning = _detail(block, "output_tokens_details", "reasoning_tokens")
    if reasoning and count(block.get("total_tokens")) == given + made + reasoning:
        made += reasoning
    return Tokens(
        input=given - cached - written,
        cached=cached,
        cache_write=written,
        output=made,
        reasoning=min(reasoning, made),
        source=source,
    )


def _detail(block: Json, name: str, of: str) -> int:
    details = block.get(name)
    return (count(cast("Json", details).get(of)) or 0) if isinstance(details, dict) else 0


def decode_answer(body: Json) -> Answer:
    """Return a whole answer; raises Malformed, VendorFailed."""
    check(body)
    output = body.get("output")
    if not isinstance(output, list):
        raise Malformed("the vendor's response holds no output")
    parts: list[Part] = []
    logprobs: list[Any] = []
    for item in cast("list[object]", output):
        if isinstance(item, dict):
            parts += decode_item(cast("Json", item), logprobs)
    choice = Choice(
        parts=tuple(parts),
        finish=finish_of(
            body,
            called=any(isinstance(part, ToolCall) for part in parts),
            refused=any(isinstance(part, RefusalText) for part in parts),
        ),
        logprobs={"content": logprobs} if logprobs else None,
    )
    return Answer(
        choices=(choice,),
        id=text_in(body, "id"),
        model=text_in(body, "model"),
        tokens=usage_of(body.get("usage")) or NO_TOKENS,
        service_tier=text_in(body, "service_tier"),
    )


def check(response: Json) -> None:
    """Raise VendorFailed for a response that failed, Malformed for one that is not answered yet."""
    if response.get("error") or response.get("status") == "failed":
        raise VendorFailed(response.get("error") or "the vendor's response failed")
    if response.get("status") in ("queued", "in_progress", "cancelled"):
        raise Malformed(f"the vendor's response is {response['status']}")


def finish_of(response: Json, *, called: bool, refused: bool) -> Finish:
    """Return why a response ended, which this dialect tells only of those that were cut."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = cast("Json", details).get("reason") if isinstance(details, dict) else None
        return Finish.CONTENT_FILTER if reason == "content_filter" else Finish.LENGTH
    if called:
        return Finish.TOOL_CALLS
    return Finish.REFUSAL if refused else Finish.STOP


def decode_item(item: Json, logprobs: list[Any]) -> list[Part]:
    """Return the parts of an item of the output; probabilities of its tokens are added to ``logprobs``."""
    match item.get("type"):
        case "message":
            return _message(item, logprobs)
        case "reasoning":
            sealed = text_in(item, "encrypted_content")
            signature = Signature(DIALECT, sealed) if sealed else None
            return list(thoughts(item, signature, text_in(item, "id")))
        case "function_call":
            call_id, name = text_in(item, "call_id") or text_in(item, "id"), text_in(item, "name")
            if call_id is None or name is None:
                raise Malformed("the vendor's function call has no id or name")
            return [ToolCall(id=call_id, name=name, arguments=text_in(item, "arguments") or "")]
        case _:
            return [Opaque(dialect=DIALECT, raw=item)]


def _message(item: Json, logprobs: list[Any]) -> list[Part]:
    content = item.get("content")
    if isinstance(content, str):
        return [Text(text=content)]
    if not isinstance(content, list):
        return []
    parts: list[Part] = []
    for block in cast("list[object]", content):
        if not isinstance(block, dict):
            continue
        part = cast("Json", block)
        text, refusal = text_in(part, "text"), text_in(part, "refusal")
        if part.get("type") == "refusal":
            parts.append(RefusalText(text=refusal or ""))
        elif text:
            annotations = part.get("annotations")
            found = cast("list[object]", annotations) if isinstance(annotations, list) else []
            parts.append(Text(text=text, citations=tuple(citation_of(one) for one in found if isinstance(one, dict))))
            probable = part.get("logprobs")
            logprobs += cast("list[Any]", probable) if isinstance(probable, list) else []
    return parts


def citation_of(annotation: Any) -> Citation:
    """Return an annotation as the source that it is."""
    raw = cast("Json", annotation)
    start, end = raw.get("start_index"), raw.get("end_index")
    return Citation(
        url=text_in(raw, "url"),
        title=text_in(raw, "title") or text_in(raw, "filename"),
        start=start if isinstance(start, int) else None,
        end=end if isinstance(end, int) else None,
        raw=raw,
    )


def text_in(holder: Json, name: str) -> str | None:
    """Return a vendor's text, None for anything else."""
    value = holder.get(name)
    return value if isinstance(value, str) else None


class Output:
    """The items of one answer as they are made, with ids of its own; whole and streamed answers share it."""

    def __init__(self, asked: Asked) -> None:
        self.items: list[Json] = []
        self._unique = asked.id

    def add(self, item: Json) -> int:
        """Add an item; return its place."""
        self.items.append(item)
        return len(self.items) - 1

    def message(self, status: str) -> Json:
        """Return a message without content."""
        return {
            "id": self._id("msg_"),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [],
        }

    def thought(self, status: str, item_id: str | None = None) -> Json:
        """Return a reasoning item that says nothing yet; ``item_id``: the vendor's own."""
        return {
            "id": item_id or self._id(THOUGHT),
            "type": "reasoning",
            "status": status,
            "summary": [],
            "content": [],
            "encrypted_content": None,
        }

    def call(self, call_id: str, name: str, status: str) -> Json:
        """Return a call without arguments."""
        return {
            "id": self._id("fc_"),
            "type": "function_call",
            "status": status,
            "call_id": call_id,
            "name": name,
            "arguments": "",
        }

    def image(self, media: Media) -> Json:
        """Return an image that the model made."""
        return {
            "id": self._id("ig_"),
            "type": "image_generation_call",
            "status": "completed",
            "result": media.data,
            "output_format": (media.media_type or "image/png").rpartition("/")[2],
        }

    def carrier(self, signature: Signature, begin: str) -> Json:
        """Return a reasoning item that only carries the signature of its neighbour."""
        item_id = f"{begin}{self._unique}{len(self.items)}"
        return {**self.thought("completed", item_id), "encrypted_content": carried(signature, DIALECT)}

    def _id(self, kind: str) -> str:
        return f"{kind}{MADE}{self._unique}{len(self.items):02d}"


def text_block(text: str, citations: tuple[Citation, ...] = (), logprobs: list[Any] | None = None) -> Json:
    """Return a text of a message."""
    annotations = [found for citation in citations if (found := annotation_of(citation, text)) is not None]
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs or []}


_ANNOTATIONS: Final = ("url_citation", "file_citation", "container_file_citation", "file_path")
"""The kinds of this dialect: what another keeps in its own form is not shown as it is."""


def annotation_of(citation: Citation, text: str) -> Json | None:
    """Return a source as an annotation; None for one that this dialect cannot name."""
    raw = citation.raw
    if raw is not None and raw.get("type") in _ANNOTATIONS and ("url" in raw or "file_id" in raw):
        return raw
    if citation.url is None:
        return None
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title or citation.url,
        "start_index": citation.start or 0,
        "end_index": citation.end if citation.end is not None else len(text),
    }


def encode_answer(answer: Answer, asked: Asked) -> bytes:
    """Return a whole answer as a Response."""
    choice = answer.choices[0] if answer.choices else Choice(parts=())
    output = Output(asked)
    message: Json | None = None
    probable: list[Json] | None = tokens_of(choice.logprobs)
    thought: Json | None = None
    for part in choice.parts:
        if not isinstance(part, Text | RefusalText):
            message = None
        if not isinstance(part, Thinking):
            thought = None
        match part:
            case Text() | RefusalText():
                if message is None:
                    message = output.message(_status(choice.finish))
                    output.add(message)
                message["content"].append(_block(part, probable))
                probable = None if isinstance(part, Text) else probable
                if isinstance(part, Text) and part.signature is not None:
                    output.add(output.carrier(part.signature, CARRIES_TEXT))
                    message = None
            case Thinking():
                if thought is None or part.id is None or thought["id"] != part.id:
                    thought = output.thought("completed", part.id)
                    output.add(thought)
                think(thought, part.text, part.summary, part.signature)
            case ToolCall():
                if part.signature is not None:
                    output.add(output.carrier(part.signature, CARRIES_CALL))
                call = output.call(part.id, part.name, "completed")
                output.add({**call, "arguments": part.arguments})
            case Media(kind="image", data=str()):
                output.add(output.image(part))
            case Media(transcript=str(words)):
                output.add({**output.message("completed"), "content": [text_block(words)]})
            case Opaque(dialect="openai_responses"):
                output.add(part.raw)
            case _:
                pass
    response = response_of(asked, output.items, choice.finish, answer.tokens, answer.service_tier)
    return _ENCODE(response)


def _block(part: Text | RefusalText, logprobs: list[Any] | None) -> Json:
    if isinstance(part, RefusalText):
        return {"type": "refusal", "refusal": part.text}
    return text_block(part.text, part.citations, logprobs)


def think(item: Json, text: str, summary: bool, signature: Signature | None) -> None:
    """Put thoughts into a reasoning item: as its summary, or as its text."""
    if text:
        kind = "summary" if summary else "content"
        item[kind].append({"type": "summary_text" if summary else "reasoning_text", "text": text})
    if signature is not None:
        item["encrypted_content"] = carried(signature, DIALECT)


def _status(finish: Finish) -> str:
    return "incomplete" if finish in _INCOMPLETE else "completed"


def response_of(
    asked: Asked, items: list[Json], finish: Finish | None, tokens: Tokens, service_tier: str | None = None
) -> Json:
    """Return a Response; ``finish`` None: it is in progress."""
    ask, body = asked.ask, asked.body
    if finish is Finish.REFUSAL and not any(_refuses(item) for item in items):
        finish = Finish.CONTENT_FILTER
    status = "in_progress" if finish is None else _status(finish)
    reason = None if finish is None else _INCOMPLETE.get(finish)
    reasoning = ask.reasoning
    text = cast("Json", body.get("text") or {})
    return {
        "id": translated_response_id(asked.id),
        "object": "response",
        "created_at": asked.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "model": asked.model,
        "output": items,
        "parallel_tool_calls": ask.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {
            "effort": reasoning.effort if reasoning else None,
            "summary": reasoning.summary if reasoning else None,
        },
        "service_tier": service_tier if service_tier in _TIERS else "default",
        "store": False,
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_logprobs": ask.top_logprobs or 0,
        "truncation": "disabled",
        **{name: body.get(name) for name in _ECHOED},
        "usage": None if finish is None else usage_block(tokens),
    }


def _refuses(item: Json) -> bool:
    content = item.get("content")
    return isinstance(content, list) and any(part["type"] == "refusal" for part in cast("list[Json]", content))


def usage_block(tokens: Tokens) -> Json:
    """Return tokens as a Response counts them: the other way of ``usage_of``."""
    given = tokens.input + tokens.cached + tokens.cache_write
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.cache_write},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": given + tokens.output,
    }
