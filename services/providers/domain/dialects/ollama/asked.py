"""What clients of Ollama's chat and generate ask: ``POST /api/chat``, ``POST /api/generate``.

https://github.com/ollama/ollama/blob/main/docs/api.md. Left out without a word is what only says how a machine of
one's own runs a model: ``keep_alive`` and the options of loading (``num_ctx``, ``num_gpu``, …).
"""

from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import (
    Ask,
    Format,
    Json,
    Media,
    Message,
    Parameter,
    Part,
    Reasoning,
    Refused,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)

_SHARED: Final = {
    Parameter.FORMAT_JSON: "format",
    Parameter.FORMAT_SCHEMA: "format",
    Parameter.REASONING: "think",
    Parameter.MAX_OUTPUT: "options.num_predict",
    Parameter.TEMPERATURE: "options.temperature",
    Parameter.TOP_P: "options.top_p",
    Parameter.TOP_K: "options.top_k",
    Parameter.MIN_P: "options.min_p",
    Parameter.SEED: "options.seed",
    Parameter.STOP: "options.stop",
    Parameter.PRESENCE_PENALTY: "options.presence_penalty",
    Parameter.FREQUENCY_PENALTY: "options.frequency_penalty",
    Parameter.LOGPROBS: "logprobs",
    Parameter.TOP_LOGPROBS: "top_logprobs",
}
CHAT_NAMES: Final = {Parameter.TOOLS: "tools", **_SHARED}
GENERATE_NAMES: Final = _SHARED

_KNOWN: Final = frozenset({"model", "models", "usage", "stream", "options", "keep_alive", "format", "think"})
_KNOWN_TOO: Final = frozenset({"logprobs", "top_logprobs", "messages", "tools", "prompt", "system", "images"})
_OTHER_PROMPTS: Final = ("suffix", "template", "raw", "context")
# fmt: off
_MACHINE: Final = frozenset({
    "numa", "num_ctx", "num_batch", "num_gpu", "main_gpu", "low_vram", "f16_kv", "logits_all", "vocab_only",
    "use_mmap", "use_mlock", "embedding_only", "num_thread", "num_keep", "draft_num_predict",
})
# fmt: on
_NEUTRAL: Final = {"repeat_penalty": 1, "typical_p": 1, "tfs_z": 1, "mirostat": 0}
_FLOATS: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_EFFORTS: Final = ("low", "medium", "high", "max")
_MAGIC: Final = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}


def decode_chat(body: Json) -> Ask:
    """Read a request of ``/api/chat``; raises Refused."""
    given = _list(body.get("messages"), "messages")
    if not given:
        raise Refused("messages", "messages are missing: models are loaded and unloaded by their own server")
    tools = tuple(_tool(tool, index) for index, tool in enumerate(_list(body.get("tools"), "tools")))
    return _ask(body, _messages(given), tools)


def decode_generate(body: Json) -> Ask:
    """Read a request of ``/api/generate`` as a chat of one turn; raises Refused."""
    for name in _OTHER_PROMPTS:
        if body.get(name):
            raise Refused(name, f"'{name}' is known to models of an Ollama server only")
    prompt = _text(body.get("prompt"), "prompt")
    images = _images(body.get("images"), "images")
    if not prompt and not images:
        raise Refused("prompt", "'prompt' is missing: models are loaded and unloaded by their own server")
    messages: list[Message] = []
    system = _text(body.get("system"), "system")
    if system:
        messages.append(Message(role="system", parts=(Text(text=system),)))
    words: tuple[Part, ...] = (Text(text=prompt),) if prompt else ()
    messages.append(Message(role="user", parts=(*words, *images)))
    return _ask(body, tuple(messages), ())


def _ask(body: Json, messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> Ask:
    options = _object(body.get("options"), "options")
    read: Json = {name: _number(options.get(name), f"options.{name}") for name in _FLOATS}
    most = _integer(options.get("num_predict"), "options.num_predict")
    stop = options.get("stop")
    extra = {
        name: value
        for name, value in body.items()
        if value not in (None, "", [], False) and name not in _KNOWN and name not in _KNOWN_TOO
    }
    for name, value in options.items():
        known = name in _FLOATS or name in _MACHINE or name in ("num_predict", "top_k", "min_p", "seed", "stop")
        if not known and value is not None and value != _NEUTRAL.get(name):
            extra[f"options.{name}"] = value
    return Ask(
        messages=messages,
        stream=body.get("stream") is not False,
        tools=tools,
        format=_format(body.get("format")),
        reasoning=_reasoning(body.get("think")),
        max_output=most if most is not None and most > 0 else None,
        top_k=_integer(options.get("top_k"), "options.top_k") or None,
        min_p=_number(options.get("min_p"), "options.min_p") or None,
        seed=_integer(options.get("seed"), "options.seed"),
        stop=(stop,) if isinstance(stop, str) else _texts(stop, "options.stop"),
        logprobs=_flag(body.get("logprobs"), "logprobs"),
        top_logprobs=_integer(body.get("top_logprobs"), "top_logprobs") or None,
        extra=extra,
        **read,
    )


def _format(value: object) -> Format | None:
    if value is None or value == "":
        return None
    if value == "json":
        return Format(kind="json")
    if isinstance(value, dict):
        return Format(kind="schema", schema=cast("Json", value))
    raise Refused("format", "format must be 'json' or a JSON schema")


def _reasoning(value: object) -> Reasoning | None:
    if value is None or value == "":
        return None
    if value is True:
        return Reasoning(adaptive=True, shown=True)
    if value is False:
        return Reasoning(effort="none")
    for effort in _EFFORTS:
        if value == effort:
            return Reasoning(effort=effort, shown=True)
    raise Refused("think", "think must be true, false, 'low', 'medium', 'high' or 'max'")


def _tool(value: object, index: int) -> Tool:
    where = f"tools[{index}]"
    tool = _object(value, where)
    if tool.get("type") not in (None, "function"):
        raise Refused(f"{where}.type", f"{where}.type must be 'function'")
    function = _object(tool.get("function"), f"{where}.function")
    name = _text(function.get("name"), f"{where}.function.name")
    if not name:
        raise Refused(f"{where}.function.name", f"{where}.function.name is missing")
    return Tool(
        name=name,
        description=_text(function.get("description"), f"{where}.function.description") or None,
        schema=_object(function.get("parameters"), f"{where}.function.parameters") or None,
    )


def _messages(given: list[Any]) -> tuple[Message, ...]:
    """Return the turns; results of tools that follow one another are one turn of the user's."""
    found: list[Message] = []
    open_calls: list[tuple[str, str]] = []
    results: list[ToolResult] = []
    for index, value in enumerate(given):
        where = f"messages[{index}]"
        message = _object(value, where)
        if message.get("role") == "tool":
            results.append(_result(message, open_calls, where))
            continue
        if results:
            found.append(Message(role="user", parts=tuple(results)))
            results = []
        found.append(_message(message, index, open_calls))
    if results:
        found.append(Message(role="user", parts=tuple(results)))
    return tuple(found)


def _message(message: Json, index: int, open_calls: list[tuple[str, str]]) -> Message:
    where = f"messages[{index}]"
    role = message.get("role")
    if role not in ("system", "user", "assistant"):
        raise Refused(f"{where}.role", f"the role {role!r} is not known")
    parts: list[Part] = []
    thinking = _text(message.get("thinking"), f"{where}.thinking")
    if thinking:
        parts.append(Thinking(text=thinking))
    text = _text(message.get("content"), f"{where}.content")
    if text:
        parts.append(Text(text=text))
    parts += _images(message.get("images"), f"{where}.images")
    calls = _list(message.get("tool_calls"), f"{where}.tool_calls")
    if calls:
        open_calls.clear()
    for place, value in enumerate(calls):
        call = _call(value, f"call_{index}_{place}", f"{where}.tool_calls[{place}]")
        open_calls.append((call.id, call.name))
        parts.append(call)
    return Message(role=role, parts=tuple(parts))


def _call(value: object, made_id: str, where: str) -> ToolCall:
    call = _object(value, where)
    function = _object(call.get("function"), f"{where}.function")
    name = _text(function.get("name"), f"{where}.function.name")
    if not name:
        raise Refused(f"{where}.function.name", f"{where}.function.name is missing")
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments or {}).decode()
    return ToolCall(id=_text(call.get("id"), f"{where}.id") or made_id, name=name, arguments=arguments)


def _result(message: Json, open_calls: list[tuple[str, str]], where: str) -> ToolResult:
    """Return a result with the id of its call: as it is said, else of the first call still open that has the name."""
    said = _text(message.get("tool_call_id"), f"{where}.tool_call_id")
    name = _text(message.get("tool_name"), f"{where}.tool_name") or _text(message.get("name"), f"{where}.name")
    answered = next((call for call in open_calls if (call[0] == said if said else name in ("", call[1]))), None)
    if answered is not None:
        open_calls.remove(answered)
    elif not said:
        raise Refused(where, f"{where}: no call of a tool is there that this is the result of")
    text = _text(message.get("content"), f"{where}.content")
    images = _images(message.get("images"), f"{where}.images")
    return ToolResult(
        id=answered[0] if answered else said,
        name=(answered[1] if answered else name) or None,
        content=((Text(text=text), *images) if text else images),
    )


def _images(value: object, where: str) -> tuple[Media, ...]:
    return tuple(
        Media(
            kind="image",
            media_type=next((kind for magic, kind in _MAGIC.items() if image.startswith(magic)), None),
            data=image,
        )
        for image in _texts(value, where)
    )


def _texts(value: object, where: str) -> tuple[str, ...]:
    found = _list(value, where)
    if not all(isinstance(item, str) for item in found):
        raise Refused(where, f"{where} must be a list of texts")
    return tuple(found)


def _text(value: object, where: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise Refused(where, f"{where} must be text")


def _list(value: object, where: str) -> list[Any]:
    if value is None or isinstance(value, list):
        return cast("list[Any] | None", value) or []
    raise Refused(where, f"{where} must be a list")


def _object(value: object, where: str) -> Json:
    if value is None or isinstance(value, dict):
        return cast("Json | None", value) or {}
    raise Refused(where, f"{where} must be an object")


def _number(value: object, where: str) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise Refused(where, f"{where} must be a number")


def _integer(value: object, where: str) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise Refused(where, f"{where} must be a whole number")


def _flag(value: object, where: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise Refused(where, f"{where} must be true or false")
