"""The canonical request as Cohere's chat. https://docs.cohere.com/reference/chat"""

from collections.abc import Sequence
from typing import Final

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
    ToolCall,
    ToolResult,
)
from services.providers.domain.content import data_url, told_result
from services.providers.domain.dialect import Range, Wire
from services.providers.domain.effort import budget_of

TAKES: Final = frozenset(
    {
        Parameter.TOOLS,
        Parameter.TOOL_CHOICE,
        Parameter.FORMAT_JSON,
        Parameter.FORMAT_SCHEMA,
        Parameter.REASONING,
        Parameter.MAX_OUTPUT,
        Parameter.TEMPERATURE,
        Parameter.TOP_P,
        Parameter.TOP_K,
        Parameter.SEED,
        Parameter.STOP,
        Parameter.PRESENCE_PENALTY,
        Parameter.FREQUENCY_PENALTY,
    }
)
RANGES: Final = {
    Parameter.TOP_P: Range(0.01, 0.99),
    Parameter.TOP_K: Range(0, 500),
    Parameter.STOP: Range(0, 5),
    Parameter.PRESENCE_PENALTY: Range(0, 1),
    Parameter.FREQUENCY_PENALTY: Range(0, 1),
}
_FIELDS: Final = (
    ("max_tokens", "max_output"),
    ("temperature", "temperature"),
    ("p", "top_p"),
    ("k", "top_k"),
    ("seed", "seed"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
)


def encode_request(ask: Ask, wire: Wire) -> Json:
    """Return the body; raises Refused for what it cannot say."""
    body: Json = {"model": wire.native_id, "messages": _messages(ask.messages), "stream": ask.stream}
    body.update({name: value for name, field in _FIELDS if (value := getattr(ask, field)) is not None})
    if ask.stop:
        body["stop_sequences"] = list(ask.stop)
    if ask.tools:
        body["tools"] = _tools(ask)
        if any(tool.strict for tool in ask.tools):
            body["strict_tools"] = True
    if ask.tool_choice is not None and ask.tool_choice.mode != "auto":
        body["tool_choice"] = "NONE" if ask.tool_choice.mode == "none" else "REQUIRED"
    if ask.format is not None:
        schema = {} if ask.format.schema is None else {"json_schema": ask.format.schema}
        body["response_format"] = {"type": "json_object", **schema}
    if ask.reasoning is not None:
        body["thinking"] = _thinking(ask.reasoning)
    return body


def _thinking(reasoning: Reasoning) -> Json:
    if reasoning.effort == "none" or (reasoning.effort is None and reasoning.budget == 0):
        return {"type": "disabled"}
    budget = reasoning.budget
    if budget is None and reasoning.effort not in (None, "max"):
        budget = budget_of(reasoning.effort, None)
    return {"type": "enabled"} if budget is None else {"type": "enabled", "token_budget": budget}


def _tools(ask: Ask) -> list[Json]:
    """Return the tools; the ones that may be called alone, where only some may: Cohere has no word for it."""
    choice = ask.tool_choice
    among = () if choice is None else (choice.name,) if choice.mode == "named" else choice.among
    found: list[Json] = []
    for place, tool in enumerate(ask.tools):
        if tool.opaque is not None:
            raise Refused(f"tools[{place}]", f"Cohere does not know the tool '{tool.name}' of another vendor")
        if among and tool.name not in among:
            continue
        function: Json = {"name": tool.name, "parameters": tool.schema or {"type": "object", "properties": {}}}
        if tool.description is not None:
            function["description"] = tool.description
        found.append({"type": "function", "function": function})
    return found


def _messages(messages: Sequence[Message]) -> list[Json]:
    found: list[Json] = []
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if message.role == "assistant":
            found.append(_assistant(message.parts, where))
            continue
        content: list[Json] = []
        for number, part in enumerate(message.parts):
            here = f"{where}.content[{number}]"
            if isinstance(part, ToolResult):
                found.append({"role": "tool", "tool_call_id": part.id, "content": _result(part, here)})
            else:
                content.append(_content(part, here))
        if content:
            found.append({"role": message.role, "content": content})
    return found


def _content(part: Part, here: str) -> Json:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Media) and part.kind == "image" and (part.data is not None or part.url is not None):
        url = part.url if part.data is None else data_url(part.media_type or "image/png", part.data)
        return {"type": "image_url", "image_url": {"url": url} | ({"detail": part.detail} if part.detail else {})}
    raise Refused(here, "Cohere takes text and images alone")


def _result(part: ToolResult, here: str) -> list[Json]:
    for item in part.content:
        if not isinstance(item, Text):
            raise Refused(here, "Cohere takes the results of tools as text alone")
    return [{"type": "text", "text": item.text} for item in told_result(part) if isinstance(item, Text)] or [
        {"type": "text", "text": ""}
    ]


def _assistant(parts: Sequence[Part], where: str) -> Json:
    """Return the model's turn. Words before calls are its plan; reasoning that no vendor signed goes back."""
    content: list[Json] = []
    calls: list[Json] = []
    for place, part in enumerate(parts):
        match part:
            case Text(text=text) | RefusalText(text=text):
                content.append({"type": "text", "text": text})
            case Thinking(text=text, signature=None) if text:
                content.append({"type": "thinking", "thinking": text})
            case Thinking():
                pass
            case ToolCall(id=identity, name=name, arguments=arguments):
                function = {"name": name, "arguments": arguments or "{}"}
                calls.append({"id": identity, "type": "function", "function": function})
            case _:
                raise Refused(f"{where}.content[{place}]", "Cohere has no such content in the model's turn")
    if not calls:
        return {"role": "assistant", "content": content}
    plan = "".join(item.get("text", "") for item in content)
    return {"role": "assistant", "tool_calls": calls} | ({"tool_plan": plan} if plan else {})
