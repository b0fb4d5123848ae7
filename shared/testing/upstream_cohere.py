"""Cohere as a scripted vendor: chat, whole and streamed, vectors, and its list of models.

Forms as in https://docs.cohere.com/reference/chat, https://docs.cohere.com/reference/chat-stream,
https://docs.cohere.com/reference/embed and https://docs.cohere.com/reference/list-models.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from shared.testing.upstream_behaviour import ErrorBody, ToolCall
from shared.testing.upstream_form import Body, Form, Reply, Step, Stream, as_list, finish, halves, message_texts, vector

_REASONS: Final[Mapping[str, str]] = {
    "stop": "COMPLETE",
    "tool_calls": "TOOL_CALL",
    "length": "MAX_TOKENS",
    "content_filter": "ERROR_TOXIC",
}


def models(names: Iterable[str]) -> Body:
    """Return the list of models."""
    return {"models": [model(name) for name in names], "next_page_token": None}


def model(name: str) -> Body:
    """Return what is told of one model; a name with ``embed`` in it makes vectors, the others are alike."""
    endpoints = ["embed"] if "embed" in name else ["chat"]
    features = ["tools", "json_schema", "json_mode", "tool_choice", "strict_tools"]
    return {"name": name, "endpoints": endpoints, "features": features, "context_length": 128_000, "finetuned": False}


def _prompts(body: Body) -> list[str]:
    return message_texts(as_list(body.get("messages")))


def _usage(sent: int, answered: int, _: int) -> Body:
    # what Cohere writes before every prompt is counted as tokens and not billed
    tokens = {"input_tokens": sent + 500, "output_tokens": answered + 2}
    return {"billed_units": {"input_tokens": sent, "output_tokens": answered}, "tokens": tokens}


def _error(found: ErrorBody, _: int) -> Body:
    return {"id": "wall-error", "message": found.message}


def _call(reply: Reply, place: int, call: ToolCall, arguments: str) -> Body:
    identity = f"{call.name}_{reply.index}{place}"
    return {"id": identity, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _whole(reply: Reply) -> Body:
    content: list[Body] = []
    if reply.behaviour.reasoning is not None:
        content.append({"type": "thinking", "thinking": reply.behaviour.reasoning})
    if reply.text:
        content.append({"type": "text", "text": reply.text})
    calls = enumerate(reply.behaviour.tool_calls)
    message: Body = {"role": "assistant", "content": content}
    if reply.behaviour.tool_calls:
        message["tool_calls"] = [_call(reply, place, call, call.arguments) for place, call in calls]
    body: Body = {"id": reply.id, "finish_reason": _REASONS[finish(reply.behaviour)], "message": message}
    return body if reply.usage is None else body | {"usage": reply.usage}


def _event(kind: str, fields: Body, text: str = "", *, content: bool = False, claimed: Any = None) -> Step:
    return Step(payload=CHAT.event({"type": kind, **fields}, kind), text=text, content=content, claimed=claimed)


def _said(**message: Any) -> Body:
    return {"delta": {"message": message}}


def _stream(reply: Reply) -> Stream:
    empty = _said(role="assistant", content=[], tool_plan="", tool_calls=[], citations=[])
    prelude = [_event("message-start", {"id": reply.id, **empty})]
    thinks = reply.behaviour.reasoning is not None
    if thinks:
        prelude.append(_event("content-start", {"index": 0, **_said(content={"type": "thinking", "thinking": ""})}))
        prelude += [
            _event("content-delta", {"index": 0, **_said(content={"thinking": piece})}) for piece in reply.thoughts
        ]
        prelude.append(_event("content-end", {"index": 0}))
    content: list[Step] = []
    ends: list[Step] = []
    if reply.text:
        place = {"index": int(thinks)}
        prelude.append(_event("content-start", {**place, **_said(content={"type": "text", "text": ""})}))
        content += [
            _event("content-delta", {**place, **_said(content={"text": piece})}, piece, content=True)
            for piece in reply.pieces
        ]
        ends.append(_event("content-end", place))
    for place, call in enumerate(reply.behaviour.tool_calls):
        content += _call_steps(reply, place, call)
    change: Body = {"finish_reason": _REASONS[finish(reply.behaviour)]}
    if reply.usage is not None:
        change["usage"] = reply.usage
    ends.append(_event("message-end", {"delta": change}, claimed=reply.usage))
    return Stream(prelude=prelude, content=content, ending=[*ends, Step(payload=b"data: [DONE]\n\n")])


def _call_steps(reply: Reply, place: int, call: ToolCall) -> list[Step]:
    index = {"index": place}
    begun = _said(tool_calls=_call(reply, place, call, ""))
    return [
        _event("tool-call-start", {**index, **begun}, content=True),
        *(
            _event("tool-call-delta", {**index, **_said(tool_calls={"function": {"arguments": half}})}, content=True)
            for half in halves(call.arguments)
        ),
        _event("tool-call-end", index),
    ]


def _texts(body: Body) -> list[str]:
    return [str(text) for text in as_list(body.get("texts"))]


def _embeddings(reply: Reply) -> Body:
    body = reply.asked.body
    vectors = [vector(text, body.get("output_dimension")) for text in _texts(body)]
    answer: Body = {"id": reply.id, "texts": _texts(body), "embeddings": {"float": vectors}}
    return answer if reply.usage is None else answer | {"meta": {"billed_units": reply.usage}}


def _embed_usage(sent: int, _: int, __: int) -> Body:
    return {"input_tokens": sent}


CHAT: Final = Form(name="cohere", prompts=_prompts, usage=_usage, whole=_whole, streamed=_stream, error=_error)
EMBED: Final = Form(name="cohere_embed", prompts=_texts, usage=_embed_usage, whole=_embeddings, error=_error)
