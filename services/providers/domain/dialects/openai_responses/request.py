"""What a client of the Responses asks, as the canonical form.

https://platform.openai.com/docs/api-reference/responses/create
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

import msgspec

from services.providers.domain.canonical import (
    Ask,
    Effort,
    Format,
    Json,
    Message,
    Opaque,
    Parameter,
    Reasoning,
    Refused,
    Text,
    Tool,
    ToolChoice,
)
from services.providers.domain.dialects.openai_responses.items import decode_input, text_of
from services.providers.domain.dialects.openai_responses.names import DIALECT
from shared.contracts.response_id import why_not_previous

NAMES: Final[Mapping[Parameter, str]] = {
    Parameter.TOOLS: "tools",
    Parameter.TOOL_CHOICE: "tool_choice",
    Parameter.PARALLEL_TOOL_CALLS: "parallel_tool_calls",
    Parameter.FORMAT_JSON: "text.format",
    Parameter.FORMAT_SCHEMA: "text.format",
    Parameter.REASONING: "reasoning",
    Parameter.MAX_OUTPUT: "max_output_tokens",
    Parameter.TEMPERATURE: "temperature",
    Parameter.TOP_P: "top_p",
    Parameter.LOGPROBS: "include",
    Parameter.TOP_LOGPROBS: "top_logprobs",
    Parameter.VERBOSITY: "text.verbosity",
    Parameter.USER: "user",
    Parameter.METADATA: "metadata",
    Parameter.SERVICE_TIER: "service_tier",
    Parameter.STORE: "store",
    Parameter.CACHE_KEY: "prompt_cache_key",
}
ALIASES: Final[Mapping[Parameter, tuple[str, ...]]] = {Parameter.USER: ("safety_identifier",)}
_LOGPROBS: Final = "message.output_text.logprobs"
_INCLUDES: Final = (
    _LOGPROBS,
    "reasoning.encrypted_content",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
)
"""Encrypted reasoning is always answered; the others ask for something of tools, which have their own refusal."""
_KEPT_ELSEWHERE: Final = ("conversation", "prompt")
_NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {"background": (False,), "truncation": ("disabled",)}
_NOT_ASKED: Final = ("model", "models", "usage", "stream_options")
"""LocalRouter's own, and what only says how a stream is padded."""
_FUNCTION: Final = frozenset({"type", "name", "description", "parameters", "strict"})
"""What a function is in every dialect; with more (loaded late, called by programs) it is this dialect's alone."""


class _Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class _TextConfig(msgspec.Struct):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct):
    effort: Effort | None = None
    summary: str | None = None
    generate_summary: str | None = None
    context: str | None = None
    mode: str | None = None


class _Body(msgspec.Struct):
    """The parameters whose shape is checked as they are read; the others are looked at by hand."""

    input: Any = None
    instructions: str | None = None
    stream: bool | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: _TextConfig | None = None
    reasoning: _Reasoning | None = None
    include: list[str] | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    previous_response_id: str | None = None


_KNOWN: Final = frozenset((*_Body.__struct_fields__, *_NOT_ASKED, *_KEPT_ELSEWHERE))
_WHERE: Final = re.compile(r" - at `\$\.?(.*)`$")


def decode_request(body: Json) -> Ask:
    """Return a client's request; raises Refused."""
    asked = _read(body)
    if asked.previous_response_id is not None:
        why = why_not_previous(asked.previous_response_id)
        raise Refused("previous_response_id", why or "This vendor does not keep the response that came before.")
    for name in _KEPT_ELSEWHERE:
        if body.get(name) is not None:
            raise Refused(name, f"'{name}' names what OpenAI keeps; this vendor has no such thing")
    messages = decode_input(asked.input)
    if asked.instructions:
        messages = (Message(role="system", parts=(Text(text=asked.instructions),)), *messages)
    text = asked.text or _TextConfig()
    reasoning, extra = _thinking(asked.reasoning)
    logprobs = True if asked.top_logprobs or _includes(asked.include) else None
    return Ask(
        messages=messages,
        stream=asked.stream is True,
        tools=tuple(_tool(tool, f"tools[{number}]") for number, tool in enumerate(asked.tools or ())),
        tool_choice=_tool_choice(asked.tool_choice),
        parallel_tool_calls=asked.parallel_tool_calls,
        format=_format(text.format),
        reasoning=reasoning,
        max_output=asked.max_output_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        logprobs=logprobs,
        top_logprobs=asked.top_logprobs,
        verbosity=text.verbosity,
        user=asked.user or asked.safety_identifier,
        metadata=asked.metadata,
        service_tier=asked.service_tier,
        store=asked.store,
        cache_key=asked.prompt_cache_key,
        extra={**extra, **_others(body)},
    )


def _read(body: Json) -> _Body:
    try:
        return msgspec.convert(body, _Body)
    except msgspec.ValidationError as error:
        message = str(error)
        found = _WHERE.search(message)
        raise Refused(found[1] if found else "input", _WHERE.sub("", message)) from error


def _others(body: Json) -> Json:
    """Return the parameters that only this dialect has, unless they ask for what everybody does."""
    return {
        name: value
        for name, value in body.items()
        if name not in _KNOWN and value is not None and value not in _NEUTRAL.get(name, ())
    }


def _includes(wanted: list[str] | None) -> bool:
    """Return whether the probabilities of tokens are wanted; raises Refused for what is not known."""
    for number, name in enumerate(wanted or ()):
        if name not in _INCLUDES:
            raise Refused(f"include[{number}]", f"{name!r} is not known here")
    return wanted is not None and _LOGPROBS in wanted


def _thinking(asked: _Reasoning | None) -> tuple[Reasoning | None, Json]:
    if asked is None:
        return None, {}
    extra: Json = {}
    if asked.context not in (None, "auto"):
        extra["reasoning.context"] = asked.context
    if asked.mode not in (None, "standard"):
        extra["reasoning.mode"] = asked.mode
    summary = asked.summary or asked.generate_summary
    if asked.effort is None and summary is None:
        return None, extra
    return Reasoning(effort=asked.effort, summary=summary, shown=True if summary else None), extra


def _format(asked: _Format | None) -> Format | None:
    if asked is None or asked.type == "text":
        return None
    if asked.type == "json_object":
        return Format(kind="json")
    if asked.schema is None:
        raise Refused("text.format.schema", "a format of type json_schema needs its 'schema'")
    return Format(
        kind="schema", name=asked.name, description=asked.description, schema=asked.schema, strict=asked.strict
    )


def _tool(tool: Json, where: str) -> Tool:
    kind = text_of(tool, "type", where)
    if kind != "function":
        return Tool(name=kind, opaque=Opaque(dialect=DIALECT, raw=tool))
    if any(value is not None and value is not False for name, value in tool.items() if name not in _FUNCTION):
        return Tool(name=text_of(tool, "name", where), opaque=Opaque(dialect=DIALECT, raw=tool))
    schema, description, strict = tool.get("parameters"), tool.get("description"), tool.get("strict")
    if schema is not None and not isinstance(schema, dict):
        raise Refused(f"{where}.parameters", "'parameters' must be a JSON schema")
    return Tool(
        name=text_of(tool, "name", where),
        description=description if isinstance(description, str) else None,
        schema=cast("Json | None", schema),
        strict=strict if isinstance(strict, bool) else None,
    )


def _tool_choice(value: str | dict[str, Any] | None) -> ToolChoice | None:
    match value:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(mode=value)
        case {"type": "function", "name": str(name)}:
            return ToolChoice(mode="named", name=name)
        case {"type": "allowed_tools", "mode": "auto" | "required" as mode}:
            return ToolChoice(mode=mode, among=_among(value.get("tools")))
        case _:
            raise Refused("tool_choice", "only functions can be chosen here: by mode, by name, or as allowed_tools")


def _among(tools: object) -> tuple[str, ...]:
    if not isinstance(tools, list):
        raise Refused("tool_choice.tools", "the tools that are allowed must be a list")
    names: list[str] = []
    for number, tool in enumerate(cast("list[object]", tools)):
        match tool:
            case {"type": "function", "name": str(name)}:
                names.append(name)
            case _:
                raise Refused(f"tool_choice.tools[{number}]", "only functions can be allowed here")
    return tuple(names)
