"""OpenAI as a scripted vendor: chat, completions and embeddings, and its list of models.

Forms as in https://platform.openai.com/docs/api-reference.
"""

from collections.abc import Iterable
from typing import Any, Final

from shared.testing.upstream_behaviour import ErrorBody, ToolCall
from shared.testing.upstream_form import (
    CREATED,
    Body,
    Form,
    Reply,
    Step,
    Stream,
    as_list,
    finish,
    halves,
    message_texts,
    packed,
    vector,
)


def error(found: ErrorBody, _: int) -> Body:
    """Return an error as every OpenAI route has it."""
    return {"error": {"message": found.message, "type": found.type, "param": found.param, "code": found.code}}


def models(names: Iterable[str]) -> Body:
    """Return the list of models."""
    return {"object": "list", "data": [model(name) for name in names]}


def model(name: str) -> Body:
    """Return what is told of one model."""
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "wall"}


def _usage(sent: int, answered: int, thought: int) -> Body:
    return {
        "prompt_tokens": sent,
        "completion_tokens": answered,
        "total_tokens": sent + answered,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _chat_prompts(body: Body) -> list[str]:
    return message_texts(as_list(body.get("messages")))


def _prompts(body: Body) -> list[str]:
    prompt = body.get("prompt", "")
    return [str(part) for part in as_list(prompt)] if isinstance(prompt, list) else [str(prompt)]


def _inputs(body: Body) -> list[str]:
    found = body.get("input", "")
    return [str(part) for part in as_list(found)] if isinstance(found, list) else [str(found)]


def _chat(reply: Reply) -> Body:
    message: Body = {"role": "assistant", "content": reply.text}
    if reply.behaviour.reasoning is not None:
        message["reasoning_content"] = reply.behaviour.reasoning
    if reply.behaviour.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.behaviour.tool_calls
        ]
    return _whole(reply, "chat.completion", {"message": message})


def _completion(reply: Reply) -> Body:
    return _whole(reply, "text_completion", {"text": reply.text})


def _whole(reply: Reply, kind: str, said: Body) -> Body:
    choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish(reply.behaviour)}
    body = _envelope(reply, kind) | {"choices": [choice]}
    return body if reply.usage is None else body | {"usage": reply.usage}


def _envelope(reply: Reply, kind: str) -> Body:
    return {"id": reply.id, "object": kind, "created": CREATED, "model": reply.model}


def _chat_stream(reply: Reply) -> Stream:
    chunk = _Chunks(CHAT, reply, "chat.completion.chunk", "delta")
    prelude = [Step(payload=chunk({"role": "assistant", "content": ""}))]
    prelude += [Step(payload=chunk({"reasoning_content": piece})) for piece in reply.thoughts]
    deltas = _tool_deltas(reply.behaviour.tool_calls)
    content = [chunk.content({"content": piece}, piece) for piece in reply.pieces]
    content += [Step(payload=chunk({"tool_calls": [delta]}), content=True) for delta in deltas]
    return Stream(prelude=prelude, content=content, ending=chunk.ending({}))


def _completion_stream(reply: Reply) -> Stream:
    chunk = _Chunks(COMPLETIONS, reply, "text_completion", "text")
    return Stream(prelude=[], content=[chunk.content(piece, piece) for piece in reply.pieces], ending=chunk.ending(""))


class _Chunks:
    """Writes the chunks of one stream; ``name`` is the field that holds what is new."""

    def __init__(self, form: Form, reply: Reply, kind: str, name: str) -> None:
        self._form = form
        self._reply = reply
        self._envelope = _envelope(reply, kind)
        self._name = name
        self._shown = ""

    def __call__(self, new: Any, finish_reason: str | None = None, so_far: Any = None) -> bytes:
        choice = {"index": 0, self._name: new, "finish_reason": finish_reason}
        extra: Body = {"usage": so_far} if so_far is not None or self._reply.asked.include_usage else {}
        return self._form.event(self._envelope | {"choices": [choice]} | extra)

    def content(self, new: Any, text: str) -> Step:
        self._shown += text
        so_far = self._reply.usage_of(self._shown) if self._reply.behaviour.usage_in_each else None
        return Step(payload=self(new, None, so_far), text=text, content=True, claimed=so_far)

    def ending(self, nothing: Any) -> list[Step]:
        reply = self._reply
        steps = [Step(payload=self(nothing, finish(reply.behaviour)))]
        if reply.asked.include_usage and reply.usage is not None:
            last = self._envelope | {"choices": list[Any](), "usage": reply.usage}
            steps.append(Step(payload=self._form.event(last), claimed=reply.usage))
        return [*steps, Step(payload=b"data: [DONE]\n\n")]


def _tool_deltas(calls: tuple[ToolCall, ...]) -> list[Body]:
    deltas: list[Body] = []
    for index, call in enumerate(calls):
        head: Body = {"index": index, "id": call.id, "type": "function"}
        deltas.append(head | {"function": {"name": call.name, "arguments": ""}})
        deltas.extend({"index": index, "function": {"arguments": half}} for half in halves(call.arguments))
    return deltas


def _embeddings(reply: Reply) -> Body:
    body = reply.asked.body
    vectors = [vector(text, body.get("dimensions")) for text in _inputs(body)]
    coded = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": packed(values) if coded else values}
        for index, values in enumerate(vectors)
    ]
    answer: Body = {"object": "list", "data": data, "model": reply.model}
    return answer if reply.usage is None else answer | {"usage": reply.usage}


def _embedding_usage(sent: int, _: int, __: int) -> Body:
    return {"prompt_tokens": sent, "total_tokens": sent}


CHAT: Final = Form(name="chat", prompts=_chat_prompts, usage=_usage, whole=_chat, streamed=_chat_stream, error=error)
COMPLETIONS: Final = Form(
    name="completions", prompts=_prompts, usage=_usage, whole=_completion, streamed=_completion_stream, error=error
)
EMBEDDINGS: Final = Form(name="embeddings", prompts=_inputs, usage=_embedding_usage, whole=_embeddings, error=error)
