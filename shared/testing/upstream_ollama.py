"""Ollama as a scripted vendor: chat, generate, embed, and what it tells of its models.

Forms as in https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from collections.abc import Iterable
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
    message_texts,
    vector,
)


def tags(names: Iterable[str]) -> Body:
    """Return the list of models."""
    return {"models": [_model(name) for name in names]}


def show(name: str) -> Body:
    """Return what is told of one model; a name with ``embed`` in it makes vectors, the others are alike."""
    info = {"general.architecture": "llama", "general.parameter_count": 134_515_008, "llama.context_length": 8192}
    body: Body = {"details": _model("")["details"], "model_info": info}
    body |= {
        "capabilities": ["embedding"] if "embed" in name else ["completion", "tools"],
        "modified_at": CREATED_ISO,
        "template": "",
        "parameters": "",
    }
    return body


def _model(name: str) -> Body:
    details = {"format": "gguf", "family": "llama", "families": ["llama"]}
    details = details | {"parameter_size": "134.52M", "quantization_level": "Q4_1"}
    fields: Body = {"name": name, "model": name, "modified_at": CREATED_ISO, "size": 98_000_000}
    return fields | {"digest": "0" * 64, "details": details}


def _chat_prompts(body: Body) -> list[str]:
    return message_texts(as_list(body.get("messages")))


def _prompts(body: Body) -> list[str]:
    return [str(body[name]) for name in ("system", "prompt") if body.get(name)]


def _inputs(body: Body) -> list[str]:
    found = body.get("input", "")
    return [str(part) for part in as_list(found)] if isinstance(found, list) else [str(found)]


def _usage(sent: int, answered: int, _: int) -> Body:
    durations = {"total_duration": 2_000_000, "load_duration": 0, "prompt_eval_duration": 1_000_000}
    return durations | {"prompt_eval_count": sent, "eval_count": answered, "eval_duration": 1_000_000}


def _embed_usage(sent: int, _: int, __: int) -> Body:
    return {"total_duration": 2_000_000, "load_duration": 0, "prompt_eval_count": sent}


def _error(found: ErrorBody, _: int) -> Body:
    return {"error": found.message}


def _head(reply: Reply) -> Body:
    return {"model": reply.model, "created_at": CREATED_ISO}


def _last(reply: Reply) -> Body:
    return {"done": True, "done_reason": reply.behaviour.finish_reason} | (reply.usage or {})


def _call(call: ToolCall) -> Body:
    return {"function": {"name": call.name, "arguments": msgspec.Raw(call.arguments.encode())}}


def _chat(reply: Reply) -> Body:
    message: Body = {"role": "assistant", "content": reply.text}
    if reply.behaviour.reasoning is not None:
        message["thinking"] = reply.behaviour.reasoning
    if reply.behaviour.tool_calls:
        message["tool_calls"] = [_call(call) for call in reply.behaviour.tool_calls]
    return _head(reply) | {"message": message} | _last(reply)


def _generate(reply: Reply) -> Body:
    said: Body = {"response": reply.text}
    if reply.behaviour.reasoning is not None:
        said["thinking"] = reply.behaviour.reasoning
    return _head(reply) | said | _last(reply)


def _chat_stream(reply: Reply) -> Stream:
    def line(message: Body, text: str = "", *, content: bool = False) -> Step:
        message = {"role": "assistant", "content": ""} | message
        payload = CHAT.event(_head(reply) | {"message": message, "done": False})
        return Step(payload=payload, text=text, content=content)

    prelude = [line({"thinking": piece}) for piece in reply.thoughts]
    content = [line({"content": piece}, piece, content=True) for piece in reply.pieces]
    content += [line({"tool_calls": [_call(call)]}, content=True) for call in reply.behaviour.tool_calls]
    return _closed(reply, prelude, content, {"message": {"role": "assistant", "content": ""}})


def _generate_stream(reply: Reply) -> Stream:
    def line(said: Body, text: str = "", *, content: bool = False) -> Step:
        payload = GENERATE.event(_head(reply) | {"response": ""} | said | {"done": False})
        return Step(payload=payload, text=text, content=content)

    prelude = [line({"thinking": piece}) for piece in reply.thoughts]
    content = [line({"response": piece}, piece, content=True) for piece in reply.pieces]
    return _closed(reply, prelude, content, {"response": ""})


def _closed(reply: Reply, prelude: list[Step], content: list[Step], nothing: Body) -> Stream:
    last = CHAT.event(_head(reply) | nothing | _last(reply))
    return Stream(prelude=prelude, content=content, ending=[Step(payload=last, claimed=reply.usage)])


def _embed(reply: Reply) -> Body:
    body = reply.asked.body
    vectors: list[Any] = [vector(text, body.get("dimensions")) for text in _inputs(body)]
    return {"model": reply.model, "embeddings": vectors} | (reply.usage or {})


CHAT: Final = Form(
    name="ollama",
    prompts=_chat_prompts,
    usage=_usage,
    whole=_chat,
    streamed=_chat_stream,
    error=_error,
    lines=True,
    unasked=True,
    ping=b"\n",
)
GENERATE: Final = Form(
    name="ollama_generate",
    prompts=_prompts,
    usage=_usage,
    whole=_generate,
    streamed=_generate_stream,
    error=_error,
    lines=True,
    unasked=True,
    ping=b"\n",
)
EMBED: Final = Form(name="ollama_embed", prompts=_inputs, usage=_embed_usage, whole=_embed, error=_error)
