"""What clients ask in OpenAI's chat, read into the canonical form.

https://platform.openai.com/docs/api-reference/chat/create
"""

from collections.abc import Mapping
from typing import Any, Final, cast, get_args

import msgspec

from services.providers.domain.canonical import (
    Ask,
    Effort,
    Format,
    Json,
    Message,
    Opaque,
    Parameter,
    Part,
    Reasoning,
    RefusalText,
    Refused,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from services.providers.domain.dialects.openai_chat.content import cache_of, parts_of, word_at
from services.providers.domain.dialects.openai_chat.functions import modern
from services.providers.domain.dialects.openai_chat.thoughts import NAME, signature_of, thinking_part, thoughts_of
from services.providers.domain.shapes import fields, flag, integer, items, number, stops, word, words

NAMES: Final[Mapping[Parameter, str]] = {
    **{parameter: parameter.value for parameter in Parameter},
    Parameter.FORMAT_JSON: "response_format",
    Parameter.FORMAT_SCHEMA: "response_format",
    Parameter.REASONING: "reasoning_effort",
    Parameter.MAX_OUTPUT: "max_completion_tokens",
    Parameter.CACHE_KEY: "prompt_cache_key",
    Parameter.WEB_SEARCH: "web_search_options",
}
ALIASES: Final[Mapping[Parameter, tuple[str, ...]]] = {
    Parameter.TOOLS: ("functions",),
    Parameter.TOOL_CHOICE: ("function_call",),
    Parameter.REASONING: ("reasoning", "thinking"),
    Parameter.MAX_OUTPUT: ("max_tokens",),
    Parameter.USER: ("safety_identifier",),
}
"""Older names and those of other vendors."""
_NUMBERS: Final = ("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty")
_COUNTS: Final = ("top_k", "seed", "top_logprobs", "n")
_FLAGS: Final = ("parallel_tool_calls", "logprobs", "store")
_WORDS: Final = ("user", "service_tier", "verbosity")
_OBJECTS: Final = ("metadata", "audio", "prediction", "logit_bias")
_RENAMED: Final = {"prompt_cache_key": "cache_key", "web_search_options": "web_search", "safety_identifier": "user"}
_READ: Final = frozenset(
    {"model", "models", "messages", "stream", "stream_options", "usage", "tools", "tool_choice", "response_format"}
    | {"functions", "function_call", "max_tokens", "max_completion_tokens", "stop", "modalities"}
    | {"reasoning_effort", "reasoning", "thinking"}
    | {*_NUMBERS, *_COUNTS, *_FLAGS, *_WORDS, *_OBJECTS, *_RENAMED}
)


def decode_request(body: Json) -> Ask:
    """Read a request; raises Refused for a wrong shape. What is null was not said."""
    body = modern(body)
    said: dict[str, Any] = {}
    for name, value in body.items():
        if value is not None and name in _CHECKS:
            said[_RENAMED.get(name, name)] = _CHECKS[name](value, name)
    if isinstance(body.get("user"), str):
        said["user"] = body["user"]
    most = body.get("max_completion_tokens")
    if most is None:
        most = body.get("max_tokens")
        said["max_output"] = None if most is None else integer(most, "max_tokens")
    else:
        said["max_output"] = integer(most, "max_completion_tokens")
    extra = {name: value for name, value in body.items() if name not in _READ and value is not None}
    return Ask(
        messages=_messages(body.get("messages")),
        stream=body.get("stream") is True,
        tools=_tools(body.get("tools")),
        tool_choice=_tool_choice(body.get("tool_choice")),
        format=_format(body.get("response_format")),
        reasoning=_reasoning(body),
        stop=stops(body.get("stop")),
        extra=extra,
        **said,
    )


_CHECKS: Final = {
    **dict.fromkeys(_NUMBERS, number),
    **dict.fromkeys(_COUNTS, integer),
    **dict.fromkeys(_FLAGS, flag),
    **dict.fromkeys((*_WORDS, "prompt_cache_key", "safety_identifier"), word),
    **dict.fromkeys((*_OBJECTS, "web_search_options"), fields),
    "modalities": words,
}


def _messages(given: object) -> tuple[Message, ...]:
    found = items(given, "messages")
    if not found:
        raise Refused("messages", "messages must hold at least one message")
    called: dict[str, str] = {}
    out: list[Message] = []
    results: list[Part] = []
    for place, raw in enumerate(found):
        where = f"messages[{place}]"
        message = fields(raw, where)
        if message.get("role") == "tool":
            results.append(_result(message, where, called))
            continue
        if results:
            out.append(Message(role="user", parts=tuple(results)))
            results = []
        out.append(_message(message, where, called))
    if results:
        out.append(Message(role="user", parts=tuple(results)))
    return tuple(out)


def _message(message: Json, where: str, called: dict[str, str]) -> Message:
    role = message.get("role")
    name = message["name"] if isinstance(message.get("name"), str) else None
    match role:
        case "system" | "developer":
            return Message(role="system", parts=parts_of(message.get("content"), f"{where}.content"), name=name)
        case "user":
            return Message(role="user", parts=parts_of(message.get("content"), f"{where}.content"), name=name)
        case "assistant":
            return Message(role="assistant", parts=_own_parts(message, where, called), name=name)
        case _:
            raise Refused(f"{where}.role", f"{where}.role: {role!r} is not known")


def _own_parts(message: Json, where: str, called: dict[str, str]) -> tuple[Part, ...]:
    parts: list[Part] = [*thoughts_of(message)]
    content = message.get("content")
    if isinstance(content, list):
        for place, raw in enumerate(cast("list[object]", content)):
            here = f"{where}.content[{place}]"
            part = fields(raw, here)
            if part.get("type") == "refusal":
                parts.append(RefusalText(text=word_at(part, "refusal", here)))
            elif part.get("type") == "thinking":
                parts.append(thinking_part(part))
            else:
                parts += parts_of([raw], f"{where}.content")
    else:
        parts += [part for part in parts_of(content, f"{where}.content") if not isinstance(part, Text) or part.text]
    if isinstance(message.get("refusal"), str):
        parts.append(RefusalText(text=message["refusal"]))
    if message.get("audio") is not None:
        raise Refused(f"{where}.audio", f"{where}.audio: a sound that lies with another vendor cannot be sent on")
    for place, raw in enumerate(items(message.get("tool_calls") or [], f"{where}.tool_calls")):
        parts.append(_call(fields(raw, f"{where}.tool_calls[{place}]"), f"{where}.tool_calls[{place}]", called))
    return tuple(parts)


def _call(call: Json, where: str, called: dict[str, str]) -> ToolCall | Opaque:
    if call.get("type") == "custom":
        return Opaque(dialect=NAME, raw=call)
    identity = word_at(call, "id", where)
    function = fields(call.get("function"), f"{where}.function")
    name = word_at(function, "name", f"{where}.function")
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    called[identity] = name
    return ToolCall(id=identity, name=name, arguments=arguments or "{}", signature=call_signature(call))


def call_signature(call: Json) -> Any:
    """Return Google's thought signature on a call: https://ai.google.dev/gemini-api/docs/openai#thinking."""
    found: object = call
    for name in ("extra_content", "google", "thought_signature"):
        found = cast("dict[str, object]", found).get(name) if isinstance(found, dict) else None
    return signature_of(found) if isinstance(found, str) and found else None


def _result(message: Json, where: str, called: Mapping[str, str]) -> ToolResult:
    identity = word_at(message, "tool_call_id", where)
    name = message["name"] if isinstance(message.get("name"), str) else called.get(identity)
    content = parts_of(message.get("content"), f"{where}.content")
    return ToolResult(id=identity, content=content, name=name, cache=cache_of(message))


def _tools(given: object) -> tuple[Tool, ...]:
    if given is None:
        return ()
    tools: list[Tool] = []
    for place, raw in enumerate(items(given, "tools")):
        where = f"tools[{place}]"
        tool = fields(raw, where)
        if tool.get("type", "function") != "function":
            name = tool.get("name") or tool.get("type")
            tools.append(Tool(name=str(name), opaque=Opaque(dialect=NAME, raw=tool)))
            continue
        function = fields(tool.get("function"), f"{where}.function")
        schema = function.get("parameters")
        tools.append(
            Tool(
                name=word_at(function, "name", f"{where}.function"),
                description=function["description"] if isinstance(function.get("description"), str) else None,
                schema=None if schema is None else fields(schema, f"{where}.function.parameters"),
                strict=function["strict"] if isinstance(function.get("strict"), bool) else None,
                cache=cache_of(tool) or cache_of(function),
            )
        )
    return tuple(tools)


def _tool_choice(given: object) -> ToolChoice | None:
    match given:
        case None:
            return None
        case "auto" | "none" | "required" as mode:
            return ToolChoice(mode=cast("Any", mode))
        case "any":
            return ToolChoice(mode="required")
        case {"type": "function", "function": {"name": str(name)}}:
            return ToolChoice(mode="named", name=name)
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required"}}:
            allowed = cast("Json", given)["allowed_tools"]
            among = [_name(tool) for tool in items(allowed.get("tools"), "tool_choice.allowed_tools.tools")]
            return ToolChoice(mode=allowed["mode"], among=tuple(among))
        case _:
            raise Refused("tool_choice", "tool_choice must be auto, none, required or name a function")


def _name(tool: object) -> str:
    where = "tool_choice.allowed_tools.tools"
    return word_at(fields(fields(tool, where).get("function"), where), "name", where)


def _format(given: object) -> Format | None:
    if given is None:
        return None
    told = fields(given, "response_format")
    match told.get("type"):
        case "text":
            return None
        case "json_object":
            return Format(kind="json")
        case "json_schema":
            inner = fields(told.get("json_schema"), "response_format.json_schema")
            return Format(
                kind="schema",
                name=inner["name"] if isinstance(inner.get("name"), str) else None,
                description=inner["description"] if isinstance(inner.get("description"), str) else None,
                schema=fields(inner.get("schema"), "response_format.json_schema.schema"),
                strict=inner["strict"] if isinstance(inner.get("strict"), bool) else None,
            )
        case kind:
            raise Refused("response_format", f"the format {kind!r} is not known")


def _reasoning(body: Json) -> Reasoning | None:
    """Read ``reasoning_effort``, OpenRouter's ``reasoning``, and ``thinking`` as DeepSeek and Anthropic spell it."""
    effort, budget, adaptive, shown, summary = body.get("reasoning_effort"), None, False, None, None
    where = "reasoning_effort"
    if body.get("reasoning") is not None:
        told, where = fields(body["reasoning"], "reasoning"), "reasoning"
        effort = told.get("effort") or effort
        budget = None if told.get("max_tokens") is None else integer(told["max_tokens"], "reasoning.max_tokens")
        if told.get("enabled") is False:
            effort = "none"
        adaptive = told.get("enabled") is True and effort is None and budget is None
        shown = not told["exclude"] if isinstance(told.get("exclude"), bool) else None
        summary = told["summary"] if isinstance(told.get("summary"), str) else None
    elif body.get("thinking") is not None:
        told, where = fields(body["thinking"], "thinking"), "thinking"
        budget = None if told.get("budget_tokens") is None else integer(told["budget_tokens"], "thinking.budget_tokens")
        if told.get("type") == "disabled":
            effort = "none"
        adaptive = told.get("type") in ("enabled", "adaptive") and effort is None and budget is None
    if effort is not None and effort not in get_args(Effort):
        raise Refused(where, f"{where}: {effort!r} is not known")
    if effort is None and budget is None and not adaptive and shown is None and summary is None:
        return None
    return Reasoning(effort=effort, budget=budget, adaptive=adaptive, shown=shown, summary=summary)
