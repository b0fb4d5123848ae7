"""A request as Ollama's chat is asked: ``POST /api/chat``.

https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion
"""

from typing import Any, Final

import msgspec

from services.providers.domain.canonical import (
    Ask,
    Json,
    Media,
    Message,
    Parameter,
    Part,
    Reasoning,
    RefusalText,
    Refused,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from services.providers.domain.content import told_result
from services.providers.domain.dialect import Wire
from services.providers.domain.effort import effort_of
from services.providers.domain.usage import estimated_tokens, text_size

TAKES: Final = frozenset(
    {
        Parameter.TOOLS,
        Parameter.FORMAT_JSON,
        Parameter.FORMAT_SCHEMA,
        Parameter.REASONING,
        Parameter.MAX_OUTPUT,
        Parameter.TEMPERATURE,
        Parameter.TOP_P,
        Parameter.TOP_K,
        Parameter.MIN_P,
        Parameter.SEED,
        Parameter.STOP,
        Parameter.PRESENCE_PENALTY,
        Parameter.FREQUENCY_PENALTY,
        Parameter.LOGPROBS,
        Parameter.TOP_LOGPROBS,
    }
)

_OPTIONS: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "max_output": "num_predict",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
"""Parameter → option, taken as they are."""
_THINK: Final = {"none": False, "minimal": "low", "xhigh": "high"}
"""Words that ``think`` does not know; it knows low, medium, high and max: https://github.com/ollama/ollama/pull/16877"""
_LEAST_CONTEXT: Final = 4_096
"""Ollama's own default: below it nothing is asked for, so that a model is not loaded anew."""
_MOST_CONTEXT: Final = 131_072
_ANSWER_TOKENS: Final = 1_024
_IMAGE_TOKENS: Final = 1_024


def encode_request(ask: Ask, wire: Wire) -> Json:
    """Return the body; raises Refused for content that Ollama cannot be told."""
    messages = _messages(ask.messages)
    body: Json = {"model": wire.native_id, "messages": messages, "stream": ask.stream}
    tools = _tools(ask.tools)
    if tools:
        body["tools"] = tools
    if ask.format is not None:
        body["format"] = ask.format.schema or "json"
    think = None if ask.reasoning is None else _think(ask.reasoning)
    if think is not None:
        body["think"] = think
    if ask.logprobs:
        body["logprobs"] = True
    if ask.top_logprobs:
        body["top_logprobs"] = ask.top_logprobs
    options = _options(ask, messages, tools)
    if options:
        body["options"] = options
    return body


def _think(asked: Reasoning) -> bool | str | None:
    if asked.adaptive:
        return True
    effort = effort_of(asked.budget) if asked.budget is not None else asked.effort
    return None if effort is None else _THINK.get(effort, effort)


def _options(ask: Ask, messages: list[Json], tools: list[Json]) -> Json:
    options: Json = {option: value for name, option in _OPTIONS.items() if (value := getattr(ask, name)) is not None}
    if ask.stop:
        options["stop"] = list(ask.stop)
    needed = _context(messages, tools, ask.max_output)
    if needed > _LEAST_CONTEXT:
        options["num_ctx"] = needed
    return options


def _context(messages: list[Json], tools: list[Json], most: int | None) -> int:
    """Return the context size, in tokens, that prompt and answer need: a power of two, so that a conversation that
    grows seldom loads the model anew (https://github.com/ollama/ollama/issues/3839)."""
    images = sum(len(message.get("images", ())) for message in messages)
    told = sum(text_size(value) for message in messages for name, value in message.items() if name != "images")
    prompt = estimated_tokens(told + text_size(tools)) * 5 // 4 + images * _IMAGE_TOKENS
    size = _LEAST_CONTEXT
    while size < prompt + (most or _ANSWER_TOKENS) and size < _MOST_CONTEXT:
        size *= 2
    return size


def _tools(tools: tuple[Tool, ...]) -> list[Json]:
    told: list[Json] = []
    for index, tool in enumerate(tools):
        if tool.opaque is not None:
            raise Refused(f"tools[{index}]", f"Ollama does not bring the tool {tool.name!r}")
        function: Json = {"name": tool.name, "parameters": tool.schema or {"type": "object", "properties": {}}}
        if tool.description is not None:
            function["description"] = tool.description
        told.append({"type": "function", "function": function})
    return told


def _messages(messages: tuple[Message, ...]) -> list[Json]:
    """Return the messages: each result of a tool is one of its own."""
    names: dict[str, str] = {}
    told: list[Json] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}].content"
        held: list[tuple[str, Part]] = []
        for place, part in enumerate(message.parts):
            if isinstance(part, ToolResult):
                if held:
                    told.append(_message(message.role, held, names))
                    held = []
                told.append(_result(part, names, f"{where}[{place}]"))
            else:
                held.append((f"{where}[{place}]", part))
        if held or not message.parts:
            told.append(_message(message.role, held, names))
    return told


def _result(result: ToolResult, names: dict[str, str], where: str) -> Json:
    parts: list[tuple[str, Part]] = [
        (f"{where}.content[{place}]", part) for place, part in enumerate(told_result(result))
    ]
    told = _message("tool", parts, names)
    told["tool_call_id"] = result.id
    name = result.name or names.get(result.id)
    if name is not None:
        told["tool_name"] = name
    return told


def _message(role: str, parts: list[tuple[str, Part]], names: dict[str, str]) -> Json:
    texts: list[str] = []
    images: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    for where, part in parts:
        match part:
            case Text(text=text) | RefusalText(text=text):
                texts.append(text)
            case Media():
                images.append(_image(part, where))
            case Thinking(text=text):
                thoughts.append(text)
            case ToolCall():
                names[part.id] = part.name
                calls.append(_call(part, where))
            case _:
                raise Refused(where, "Ollama takes text, images, calls of tools and their results")
    told: Json = {"role": role, "content": "\n".join(texts)}
    if any(thoughts):
        told["thinking"] = "\n".join(filter(None, thoughts))
    if images:
        told["images"] = images
    if calls:
        told["tool_calls"] = calls
    return told


def _image(media: Media, where: str) -> str:
    if media.kind != "image":
        raise Refused(where, f"Ollama takes text and images, not {media.kind}")
    if media.data is None:
        raise Refused(where, "Ollama fetches no images: they must be sent along in base64")
    return media.data


def _call(call: ToolCall, where: str) -> Json:
    try:
        arguments: Any = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(where, "the arguments of a call must be JSON") from error
    return {"id": call.id, "function": {"name": call.name, "arguments": arguments}}
