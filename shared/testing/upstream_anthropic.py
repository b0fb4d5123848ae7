"""Anthropic as a scripted vendor: messages, the count of their tokens, and its list of models.

Forms as in https://platform.claude.com/docs/en/api/messages and https://platform.claude.com/docs/en/build-with-claude/streaming.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from shared.testing.upstream_behaviour import ErrorBody, ToolCall
from shared.testing.upstream_form import (
    CREATED_ISO,
    Body,
    Form,
    Reply,
    Step,
    Stream,
    as_list,
    finish,
    halves,
    message_texts,
    text_of,
)

_REASONS: Final[Mapping[str, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_ERRORS: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def models(names: Iterable[str]) -> Body:
    """Return the list of models: one page."""
    data = [model(name) for name in names]
    return {"data": data, "has_more": False, "first_id": data[0]["id"] if data else None, "last_id": None}


def model(name: str) -> Body:
    """Return what is told of one model."""
    return {"type": "model", "id": name, "display_name": name, "created_at": CREATED_ISO}


def _prompts(body: Body) -> list[str]:
    system = [text_of(body["system"])] if body.get("system") else []
    return system + message_texts(as_list(body.get("messages")))


def _usage(sent: int, answered: int, _: int) -> Body:
    cache = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"input_tokens": sent, **cache, "output_tokens": answered}


def _error(found: ErrorBody, status: int) -> Body:
    kind = _ERRORS.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": found.message}, "request_id": "req_wall"}


def _message(reply: Reply, content: list[Body], reason: str | None, usage: Any) -> Body:
    head = {"id": f"msg_{reply.id}", "type": "message", "role": "assistant", "model": reply.model}
    body = head | {"content": content, "stop_reason": reason, "stop_sequence": None}
    return body if usage is None else body | {"usage": usage}


def _whole(reply: Reply) -> Body:
    content: list[Body] = []
    thoughts = reply.behaviour.reasoning
    if thoughts is not None:
        content.append({"type": "thinking", "thinking": thoughts, "signature": reply.signature})
    if reply.text:
        content.append({"type": "text", "text": reply.text})
    calls = reply.behaviour.tool_calls
    content += [_call(call) | {"input": msgspec.Raw(call.arguments.encode())} for call in calls]
    return _message(reply, content, _reason(reply), reply.usage)


def _reason(reply: Reply) -> str:
    return _REASONS[finish(reply.behaviour)]


def _call(call: ToolCall) -> Body:
    return {"type": "tool_use", "id": call.id, "name": call.name}


def _say(kind: str, shown: str | bool = False, claimed: Any = None, **fields: Any) -> Step:
    payload = MESSAGES.event({"type": kind, **fields}, kind)
    return Step(payload=payload, text=shown if isinstance(shown, str) else "", content=bool(shown), claimed=claimed)


def _stream(reply: Reply) -> Stream:
    usage = reply.usage
    first = usage | {"output_tokens": 1} if isinstance(usage, dict) else usage  # pyright: ignore[reportUnknownVariableType]
    prelude = [_say("message_start", message=_message(reply, [], None, first)), _say("ping")]
    content: list[Step] = []
    place = 0
    if reply.behaviour.reasoning is not None:
        deltas: list[Body] = [{"type": "thinking_delta", "thinking": piece} for piece in reply.thoughts]
        deltas.append({"type": "signature_delta", "signature": reply.signature})
        prelude += _block(place, {"type": "thinking", "thinking": "", "signature": ""}, deltas, [""] * len(deltas))
        place += 1
    if reply.text:
        deltas = [{"type": "text_delta", "text": piece} for piece in reply.pieces]
        content += _block(place, {"type": "text", "text": ""}, deltas, reply.pieces)
        place += 1
    for call in reply.behaviour.tool_calls:
        deltas = [{"type": "input_json_delta", "partial_json": half} for half in ("", *halves(call.arguments))]
        content += _block(place, _call(call) | {"input": dict[str, Any]()}, deltas, [True] * len(deltas))
        place += 1
    delta: Body = {"delta": {"stop_reason": _reason(reply), "stop_sequence": None}}
    last = delta if usage is None else delta | Body(usage=usage)
    ending = [_say("message_delta", claimed=usage, **last), _say("message_stop")]
    return Stream(prelude=prelude, content=content, ending=ending)


def _block(place: int, start: Body, deltas: list[Body], shown: list[str] | list[bool]) -> list[Step]:
    steps = [_say("content_block_start", index=place, content_block=start)]
    steps += [
        _say("content_block_delta", new, index=place, delta=delta) for delta, new in zip(deltas, shown, strict=True)
    ]
    return [*steps, _say("content_block_stop", index=place)]


def _count(reply: Reply) -> Body:
    return reply.usage


def _counted(sent: int, _: int, __: int) -> Body:
    return {"input_tokens": sent}


MESSAGES: Final = Form(
    name="messages",
    prompts=_prompts,
    usage=_usage,
    whole=_whole,
    streamed=_stream,
    error=_error,
    ping=b'event: ping\ndata: {"type": "ping"}\n\n',
)
COUNT_TOKENS: Final = Form(name="count_tokens", prompts=_prompts, usage=_counted, whole=_count, error=_error)
