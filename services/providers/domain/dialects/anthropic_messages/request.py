"""What a client asks in Anthropic's messages.

https://platform.claude.com/docs/en/api/messages/create
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from services.providers.domain.canonical import (
    Ask,
    Format,
    Json,
    Message,
    Opaque,
    Parameter,
    Part,
    Reasoning,
    Refused,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from services.providers.domain.dialects.anthropic_messages.blocks import NAME, blocks_of, cache_of, texts_of
from services.providers.domain.shapes import fields, integer, items, number, word, words

NAMES: Final[Mapping[Parameter, str]] = {
    Parameter.TOOLS: "tools",
    Parameter.TOOL_CHOICE: "tool_choice",
    Parameter.PARALLEL_TOOL_CALLS: "tool_choice.disable_parallel_tool_use",
    Parameter.FORMAT_SCHEMA: "output_config.format",
    Parameter.REASONING: "thinking",
    Parameter.MAX_OUTPUT: "max_tokens",
    Parameter.TEMPERATURE: "temperature",
    Parameter.TOP_P: "top_p",
    Parameter.TOP_K: "top_k",
    Parameter.STOP: "stop_sequences",
    Parameter.USER: "metadata.user_id",
    Parameter.METADATA: "metadata",
    Parameter.SERVICE_TIER: "service_tier",
}
ALIASES: Final[Mapping[Parameter, tuple[str, ...]]] = {
    Parameter.FORMAT_SCHEMA: ("output_format",),
    Parameter.REASONING: ("output_config.effort",),
}
_SCALARS: Final[Mapping[str, tuple[str, Callable[[object, str], Any]]]] = {
    "max_tokens": ("max_output", integer),
    "temperature": ("temperature", number),
    "top_p": ("top_p", number),
    "top_k": ("top_k", integer),
    "stop_sequences": ("stop", words),
}
_KNOWN: Final = frozenset(
    {
        *_SCALARS,
        *("model", "models", "stream", "messages", "system", "tools", "tool_choice", "thinking", "output_config"),
        *("output_format", "metadata", "service_tier", "cache_control"),
    }
)
_TIERS: Final = {"standard_only": "default"}
_NO_CALLERS: Final[tuple[object, ...]] = (None, [], ["direct"])


def decode_request(body: Json) -> Ask:
    """Return what is asked; raises Refused. ``between_tools``, where the model only tells of its progress, is thinking
    switched off."""
    said: dict[str, Any] = {}
    for name, (field, check) in _SCALARS.items():
        if body.get(name) is not None:
            said[field] = check(body[name], name)
    choice, parallel = _choice(body.get("tool_choice"))
    user, metadata = _metadata(body.get("metadata"))
    tier = body.get("service_tier")
    return Ask(
        messages=_messages(body),
        stream=body.get("stream") is True,
        tools=_tools(body.get("tools")),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        format=_format(body),
        reasoning=_reasoning(body),
        user=user,
        metadata=metadata,
        service_tier=None if tier is None else _TIERS.get(word(tier, "service_tier"), word(tier, "service_tier")),
        extra={name: value for name, value in body.items() if name not in _KNOWN and value is not None},
        **said,
    )


def _tools(given: object) -> tuple[Tool, ...]:
    listed = [] if given is None else items(given, "tools")
    return tuple(_tool(fields(one, f"tools[{at}]"), f"tools[{at}]") for at, one in enumerate(listed))


def _messages(body: Json) -> tuple[Message, ...]:
    found: list[Message] = []
    if body.get("system"):
        found.append(Message(role="system", parts=texts_of(body["system"], "system")))
    for place, given in enumerate(items(body.get("messages"), "messages")):
        where = f"messages[{place}]"
        message = fields(given, where)
        match message.get("role"):
            case "user" | "assistant" as role:
                found.append(Message(role=role, parts=blocks_of(message.get("content"), f"{where}.content")))
            case "system":
                found.append(Message(role="system", parts=texts_of(message.get("content"), f"{where}.content")))
            case _:
                raise Refused(f"{where}.role", f"{where}.role must be user, assistant or system")
    return _named(_marked(found, body))


def _marked(messages: list[Message], body: Json) -> list[Message]:
    """Put the request's own cache mark at its last block that can bear one."""
    mark = cache_of(body)
    if mark is None:
        return messages
    for place in range(len(messages) - 1, -1, -1):
        parts = list(messages[place].parts)
        for at in range(len(parts) - 1, -1, -1):
            part = parts[at]
            if not isinstance(part, Thinking | Opaque):
                parts[at] = msgspec.structs.replace(part, cache=mark)
                changed = msgspec.structs.replace(messages[place], parts=tuple(parts))
                return [*messages[:place], changed, *messages[place + 1 :]]
    return messages


def _named(messages: list[Message]) -> tuple[Message, ...]:
    """Give the results of tools the names of their functions, which other dialects want: the last call of that id's."""
    names: dict[str, str] = {}

    def named(part: Part) -> Part:
        if isinstance(part, ToolCall):
            names[part.id] = part.name
        if not isinstance(part, ToolResult) or part.id not in names:
            return part
        return msgspec.structs.replace(part, name=names[part.id])

    return tuple(
        msgspec.structs.replace(message, parts=tuple([named(part) for part in message.parts])) for message in messages
    )


def _tool(tool: Json, where: str) -> Tool:
    name = word(tool.get("name", tool.get("type")), f"{where}.name")
    if tool.get("type") not in (None, "custom"):
        return Tool(name=name, cache=cache_of(tool), opaque=Opaque(dialect=NAME, raw=tool))
    if tool.get("defer_loading") is True:
        raise Refused(f"{where}.defer_loading", "tools are loaded late by Anthropic only")
    if tool.get("allowed_callers") not in _NO_CALLERS:
        raise Refused(f"{where}.allowed_callers", "tools are called from code by Anthropic only")
    if tool.get("input_examples"):
        raise Refused(f"{where}.input_examples", "examples of a tool's input can only be said to Anthropic")
    strict = tool.get("strict")
    return Tool(
        name=name,
        description=None if tool.get("description") is None else word(tool["description"], f"{where}.description"),
        schema=None if tool.get("input_schema") is None else fields(tool["input_schema"], f"{where}.input_schema"),
        strict=strict if isinstance(strict, bool) else None,
        cache=cache_of(tool),
    )


def _choice(given: object) -> tuple[ToolChoice | None, bool | None]:
    """Return the choice, and whether tools may be called in parallel."""
    if given is None:
        return None, None
    choice = fields(given, "tool_choice")
    parallel = False if choice.get("disable_parallel_tool_use") is True else None
    match choice.get("type"):
        case "auto":
            return ToolChoice(mode="auto"), parallel
        case "any":
            return ToolChoice(mode="required"), parallel
        case "tool":
            return ToolChoice(mode="named", name=word(choice.get("name"), "tool_choice.name")), parallel
        case "none":
            return ToolChoice(mode="none"), parallel
        case other:
            raise Refused("tool_choice.type", f"tool_choice.type {other!r} is not known")


def _format(body: Json) -> Format | None:
    """Return the schema of the answer, also where it stood before it moved into ``output_config``."""
    name, given = "output_config.format", _config(body).get("format")
    if given is None:
        name, given = "output_format", body.get("output_format")
    if given is None:
        return None
    form = fields(given, name)
    if form.get("type") != "json_schema":
        raise Refused(f"{name}.type", f"{name}.type must be json_schema")
    return Format(kind="schema", schema=fields(form.get("schema"), f"{name}.schema"))


def _config(body: Json) -> Json:
    given = body.get("output_config")
    config = {} if given is None else fields(given, "output_config")
    for name in config:
        if name not in ("effort", "format"):
            raise Refused(f"output_config.{name}", f"'output_config.{name}' is known to Anthropic only")
    return config


def _reasoning(body: Json) -> Reasoning | None:
    effort = _config(body).get("effort")
    if effort is not None and effort not in ("low", "medium", "high", "xhigh", "max"):
        raise Refused("output_config.effort", "output_config.effort must be low, medium, high, xhigh or max")
    if body.get("thinking") is None:
        return None if effort is None else Reasoning(effort=effort)
    thinking = fields(body["thinking"], "thinking")
    display = thinking.get("display")
    shown = None if display is None else display != "omitted"
    match thinking.get("type"):
        case "enabled":
            budget = integer(thinking.get("budget_tokens"), "thinking.budget_tokens")
            return Reasoning(effort=effort, budget=budget, shown=shown)
        case "adaptive":
            return Reasoning(effort=effort, adaptive=True, shown=shown)
        case "disabled" | "between_tools":
            return Reasoning(effort="none")
        case other:
            raise Refused("thinking.type", f"thinking.type {other!r} is not known")


def _metadata(given: object) -> tuple[str | None, Json | None]:
    if given is None:
        return None, None
    found = dict(fields(given, "metadata"))
    user = found.pop("user_id", None)
    return (None if user is None else word(user, "metadata.user_id")), found or None
