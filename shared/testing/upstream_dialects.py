"""How a scripted vendor's answer looks on the wire: OpenAI chat and completions, and Ollama chat, whole or in events.

Forms as documented in https://platform.openai.com/docs/api-reference/chat and
https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import msgspec

from shared.testing.upstream_behaviour import Behaviour, ErrorBody, ToolCall, Where

Dialect = Literal["chat", "completions", "ollama"]

CREATED: Final = 1_767_225_600
_CREATED_ISO: Final = "2026-01-01T00:00:00Z"
MALFORMED: Final = b'{"choices":[{"index":0,"delta":{"content":"bro'


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an attempt asked for."""

    dialect: Dialect
    model: str
    body: dict[str, Any]
    stream: bool
    include_usage: bool


@dataclass(frozen=True, kw_only=True)
class Step:
    """One event of an answer, or the whole of one that does not stream."""

    payload: bytes
    text: str = ""
    """The content that it shows."""
    content: bool = False
    claimed: Any = None
    """The usage that it claims."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """An answer, step by step, and before which step a fault comes in."""

    content_type: str
    steps: list[Step]
    fault_at: int | None = None


def is_completion(path: str) -> bool:
    """Return whether a path asks for a completion."""
    return _dialect(path) is not None


def _dialect(path: str) -> Dialect | None:
    if path.endswith("/chat/completions"):
        return "chat"
    if path.endswith("/completions"):
        return "completions"
    return "ollama" if path == "/api/chat" else None


def asked(path: str, body: Any) -> Asked | None:
    """Return what was asked, None when this is no completion."""
    dialect = _dialect(path)
    if dialect is None:
        return None
    fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    options = fields.get("stream_options")
    return Asked(
        dialect=dialect,
        model=str(fields.get("model", "")),
        body=fields,
        stream=bool(fields.get("stream", dialect == "ollama")),
        include_usage=isinstance(options, dict) and bool(cast("dict[str, Any]", options).get("include_usage")),
    )


def count(text: str) -> int:
    """Return the tokens of a text, as this vendor counts: its words."""
    return len(text.split())


def error_bytes(dialect: Dialect | None, error: ErrorBody) -> bytes:
    """Return an error as the dialect has it."""
    if dialect == "ollama":
        return msgspec.json.encode({"error": error.message})
    fields = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": fields})


def event(dialect: Dialect, payload: bytes) -> bytes:
    """Return one event of a stream: server-sent, or a line."""
    return payload + b"\n" if dialect == "ollama" else b"data: " + payload + b"\n\n"


def ping(dialect: Dialect) -> bytes:
    """Return a sign of life without content."""
    return b"\n" if dialect == "ollama" else b": ping\n\n"


def whole(request: Asked, behaviour: Behaviour, index: int) -> Script:
    """Return the answer to a request that does not stream."""
    text = _text(request, behaviour)
    usage = _usage(request, behaviour, text)
    message = _message(request, behaviour, text)
    model = behaviour.answered or request.model
    body: dict[str, Any]
    if request.dialect == "ollama":
        body = {"model": model, "created_at": _CREATED_ISO, "message": message, "done": True}
        body |= {"done_reason": behaviour.finish_reason} | (usage or {})
    else:
        choice: dict[str, Any] = {"index": 0}
        choice |= {"text": text} if request.dialect == "completions" else {"message": message}
        choice |= {"logprobs": None, "finish_reason": _finish(behaviour)}
        body = _envelope(request, model, index, stream=False) | {"choices": [choice]}
        if usage is not None:
            body["usage"] = usage
    encoded = msgspec.json.encode(body)
    step = Step(payload=encoded, text=text, content=True, claimed=usage)
    return Script(content_type="application/json", steps=[step])


def streamed(request: Asked, behaviour: Behaviour, index: int) -> Script:
    """Return the answer to a request that streams."""
    text = _text(request, behaviour)
    usage = _usage(request, behaviour, text)
    model = behaviour.answered or request.model
    if request.dialect == "ollama":
        return _ollama_stream(request, behaviour, model, text, usage)
    envelope = _envelope(request, model, index, stream=True)

    def chunk(delta: Any, finish_reason: str | None = None, so_far: Any = None) -> bytes:
        choice: dict[str, Any] = {"index": 0, "text" if request.dialect == "completions" else "delta": delta}
        choice["finish_reason"] = finish_reason
        extra: dict[str, Any] = {"usage": so_far} if so_far is not None or request.include_usage else {}
        return event(request.dialect, msgspec.json.encode(envelope | {"choices": [choice]} | extra))

    prelude: list[Step] = []
    if request.dialect == "chat":
        prelude.append(Step(payload=chunk({"role": "assistant", "content": ""})))
        thoughts = _pieces(behaviour.reasoning or "", None)
        prelude += [Step(payload=chunk({"reasoning_content": piece})) for piece in thoughts]
    content: list[Step] = []
    shown = ""
    for piece in _pieces(text, behaviour.events):
        shown += piece
        so_far = _usage(request, behaviour, shown) if behaviour.usage_in_each else None
        payload = chunk(piece if request.dialect == "completions" else {"content": piece}, None, so_far)
        content.append(Step(payload=payload, text=piece, content=True, claimed=so_far))
    deltas = _tool_deltas(behaviour.tool_calls)
    content += [Step(payload=chunk({"tool_calls": [delta]}), content=True) for delta in deltas]
    finish = [Step(payload=chunk("" if request.dialect == "completions" else {}, _finish(behaviour)))]
    if request.include_usage and usage is not None:
        last = msgspec.json.encode(envelope | {"choices": list[Any](), "usage": usage})
        finish.append(Step(payload=event(request.dialect, last), claimed=usage))
    done = Step(payload=b"data: [DONE]\n\n")
    return _script("text/event-stream", behaviour, prelude, content, [*finish, done])


def _script(kind: str, behaviour: Behaviour, prelude: list[Step], content: list[Step], ending: list[Step]) -> Script:
    steps = [*prelude, *content, *ending]
    places: dict[Where, int] = {
        "before_events": 0,
        "before_content": len(prelude),
        "mid_content": len(prelude) + min(behaviour.after, len(content)),
        "before_end": len(steps) - 1,
    }
    fault_at = None if behaviour.fault is None else places.get(behaviour.where)
    return Script(content_type=kind, steps=steps, fault_at=fault_at)


def _ollama_stream(request: Asked, behaviour: Behaviour, model: str, text: str, usage: Any) -> Script:
    head: dict[str, Any] = {"model": model, "created_at": _CREATED_ISO}

    def line(message: dict[str, Any]) -> bytes:
        message = {"role": "assistant", "content": ""} | message
        return event("ollama", msgspec.json.encode(head | {"message": message, "done": False}))

    thoughts = _pieces(behaviour.reasoning or "", None)
    prelude = [Step(payload=line({"thinking": piece})) for piece in thoughts]
    pieces = _pieces(text, behaviour.events)
    content = [Step(payload=line({"content": piece}), text=piece, content=True) for piece in pieces]
    calls = [line({"tool_calls": [_ollama_call(call)]}) for call in behaviour.tool_calls]
    content += [Step(payload=call, content=True) for call in calls]
    last = head | {"message": {"role": "assistant", "content": ""}, "done": True}
    last |= {"done_reason": behaviour.finish_reason} | (usage or {})
    done = Step(payload=event("ollama", msgspec.json.encode(last)), claimed=usage)
    return _script("application/x-ndjson", behaviour, prelude, content, [done])


def models(names: Iterable[str]) -> bytes:
    """Return OpenAI's list of models."""
    return msgspec.json.encode({"object": "list", "data": [_model(name) for name in names]})


def model(name: str) -> bytes:
    """Return what OpenAI tells of one model."""
    return msgspec.json.encode(_model(name))


def ollama_tags(names: Iterable[str]) -> bytes:
    """Return Ollama's list of models."""
    return msgspec.json.encode({"models": [_ollama_model(name) for name in names]})


def ollama_show() -> bytes:
    """Return what Ollama tells of one model; all of them are alike."""
    info = {"general.architecture": "llama", "general.parameter_count": 134_515_008, "llama.context_length": 8192}
    body: dict[str, Any] = {"details": _ollama_model("")["details"], "model_info": info}
    body |= {"capabilities": ["completion", "tools"], "modified_at": _CREATED_ISO, "template": "", "parameters": ""}
    return msgspec.json.encode(body)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "wall"}


def _ollama_model(name: str) -> dict[str, Any]:
    details = {"format": "gguf", "family": "llama", "families": ["llama"]}
    details = details | {"parameter_size": "134.52M", "quantization_level": "Q4_1"}
    fields: dict[str, Any] = {"name": name, "model": name, "modified_at": _CREATED_ISO, "size": 98_000_000}
    return fields | {"digest": "0" * 64, "details": details}


def _text(request: Asked, behaviour: Behaviour) -> str:
    if behaviour.text is not None:
        return behaviour.text
    return "" if behaviour.tool_calls else f"echo: {_last_prompt(request)}"


def _last_prompt(request: Asked) -> str:
    prompts = _prompts(request)
    return prompts[-1] if prompts else ""


def _prompts(request: Asked) -> list[str]:
    if request.dialect == "completions":
        prompt: Any = request.body.get("prompt", "")
        return [str(part) for part in cast("list[Any]", prompt)] if isinstance(prompt, list) else [str(prompt)]
    messages: Any = request.body.get("messages")
    if not isinstance(messages, list):
        return []
    return [_message_text(message) for message in cast("list[Any]", messages)]


def _message_text(message: Any) -> str:
    content: Any = cast("dict[str, Any]", message).get("content") if isinstance(message, dict) else message
    if not isinstance(content, list):
        return str(content or "")
    parts = [cast("dict[str, Any]", part) for part in cast("list[Any]", content) if isinstance(part, dict)]
    return " ".join(str(part.get("text", "")) for part in parts)


def _usage(request: Asked, behaviour: Behaviour, text: str) -> Any:
    if behaviour.usage is not msgspec.UNSET:
        return behaviour.usage
    sent = sum(count(prompt) for prompt in _prompts(request))
    thought = count(behaviour.reasoning or "")
    answered = count(text) + thought + sum(count(call.arguments) for call in behaviour.tool_calls)
    if request.dialect == "ollama":
        durations = {"total_duration": 2_000_000, "load_duration": 0, "prompt_eval_duration": 1_000_000}
        return durations | {"prompt_eval_count": sent, "eval_count": answered, "eval_duration": 1_000_000}
    usage: dict[str, Any] = {
        "prompt_tokens": sent,
        "completion_tokens": answered,
        "total_tokens": sent + answered,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    return usage


def _message(request: Asked, behaviour: Behaviour, text: str) -> dict[str, Any]:
    ollama = request.dialect == "ollama"
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if behaviour.reasoning is not None:
        message["thinking" if ollama else "reasoning_content"] = behaviour.reasoning
    if behaviour.tool_calls:
        message["tool_calls"] = [
            _ollama_call(call)
            if ollama
            else {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in behaviour.tool_calls
        ]
    return message


def _ollama_call(call: ToolCall) -> dict[str, Any]:
    return {"function": {"name": call.name, "arguments": msgspec.Raw(call.arguments.encode())}}


def _tool_deltas(calls: tuple[ToolCall, ...]) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = []
    for index, call in enumerate(calls):
        head: dict[str, Any] = {"index": index, "id": call.id, "type": "function"}
        deltas.append(head | {"function": {"name": call.name, "arguments": ""}})
        middle = len(call.arguments) // 2
        halves = (call.arguments[:middle], call.arguments[middle:])
        deltas.extend({"index": index, "function": {"arguments": half}} for half in halves)
    return deltas


def _finish(behaviour: Behaviour) -> str:
    return "tool_calls" if behaviour.tool_calls and behaviour.finish_reason == "stop" else behaviour.finish_reason


def _envelope(request: Asked, model: str, index: int, *, stream: bool) -> dict[str, Any]:
    kind = "text_completion" if request.dialect == "completions" else "chat.completion" + (".chunk" if stream else "")
    return {"id": f"wall-{index}", "object": kind, "created": CREATED, "model": model}


def _pieces(text: str, events: int | None) -> list[str]:
    """Return the text in ``events`` pieces; None: one per word, each with the space before it."""
    if not text:
        return []
    words = text.split(" ")
    pieces = [words[0], *(" " + word for word in words[1:])]
    if events is None or events >= len(pieces):
        return pieces
    size = -(-len(pieces) // max(events, 1))
    return ["".join(pieces[start : start + size]) for start in range(0, len(pieces), size)]
