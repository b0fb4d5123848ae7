"""The canonical form as a request to a vendor that speaks the Responses; nothing is left to be kept by it."""

from typing import Any, Final

from services.providers.domain.canonical import (
    Ask,
    Format,
    Json,
    Media,
    Message,
    Opaque,
    Parameter,
    Reasoning,
    RefusalText,
    Refused,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from services.providers.domain.content import data_url, sound_form, told_result
from services.providers.domain.dialect import Wire
from services.providers.domain.dialects.openai_responses.names import DIALECT
from services.providers.domain.effort import effort_of

TAKES: Final = frozenset(
    {
        Parameter.TOOLS,
        Parameter.TOOL_CHOICE,
        Parameter.PARALLEL_TOOL_CALLS,
        Parameter.FORMAT_JSON,
        Parameter.FORMAT_SCHEMA,
        Parameter.REASONING,
        Parameter.MAX_OUTPUT,
        Parameter.TEMPERATURE,
        Parameter.TOP_P,
        Parameter.LOGPROBS,
        Parameter.TOP_LOGPROBS,
        Parameter.VERBOSITY,
        Parameter.USER,
        Parameter.METADATA,
        Parameter.SERVICE_TIER,
        Parameter.STORE,
        Parameter.CACHE_KEY,
    }
)
_NO_ARGUMENTS: Final[Json] = {"type": "object", "properties": {}}


def encode_request(ask: Ask, wire: Wire) -> Json:
    """Return the request; raises Refused. The client's next turn brings all items again, so none is stored unasked."""
    body: Json = {
        "model": wire.native_id,
        "input": [
            item for number, message in enumerate(ask.messages) for item in _items(message, f"messages[{number}]")
        ],
        "store": ask.store if ask.store is not None else False,
    }
    if ask.stream:
        body["stream"] = True
    if ask.tools:
        body["tools"] = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(ask.tools)]
    text: Json = {}
    if ask.format is not None:
        text["format"] = _format(ask.format)
    if ask.verbosity is not None:
        text["verbosity"] = ask.verbosity
    include = ["reasoning.encrypted_content"] if wire.thinks else []
    if ask.logprobs:
        include.append("message.output_text.logprobs")
    said: Json = {
        "tool_choice": None if ask.tool_choice is None else _tool_choice(ask.tool_choice),
        "parallel_tool_calls": ask.parallel_tool_calls,
        "text": text or None,
        "reasoning": None if ask.reasoning is None else _reasoning(ask.reasoning),
        "include": include or None,
        "max_output_tokens": ask.max_output,
        "temperature": ask.temperature,
        "top_p": ask.top_p,
        "top_logprobs": ask.top_logprobs,
        "metadata": ask.metadata,
        "user": ask.user,
        "service_tier": ask.service_tier,
        "prompt_cache_key": ask.cache_key,
    }
    body.update({name: value for name, value in said.items() if value is not None})
    return body


def _items(message: Message, where: str) -> list[Json]:
    """Return the items that a message is: what is said, then each call, result and thought by itself."""
    found: list[Json] = []
    said: list[Json] = []
    thought: list[Thinking] = []
    for number, part in enumerate(message.parts):
        if thought and not (isinstance(part, Thinking) and part.id is not None and part.id == thought[-1].id):
            found += _thoughts(thought)
            thought = []
        at = f"{where}.content[{number}]"
        match part:
            case Text() | Media() | RefusalText():
                said.append(_content(part, message.role == "assistant", at))
                continue
            case Thinking():
                said = _flush(message, said, found)
                thought.append(part)
            case ToolCall():
                said = _flush(message, said, found)
                call = {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
                found.append(call)
            case ToolResult():
                said = _flush(message, said, found)
                found.append({"type": "function_call_output", "call_id": part.id, "output": _output(part, at)})
            case Opaque():
                if part.dialect != DIALECT:
                    raise Refused(at, f"what only {part.dialect} can say cannot be carried here")
                said = _flush(message, said, found)
                found.append(part.raw)
    found += _thoughts(thought)
    _flush(message, said, found)
    return found


def _flush(message: Message, said: list[Json], found: list[Json]) -> list[Json]:
    """Put what was said so far among the items; return the empty list that goes on."""
    if said:
        alone = said[0] if len(said) == 1 and said[0]["type"] == "input_text" else None
        found.append({"role": message.role, "content": said if alone is None else alone["text"]})
    return []


def _content(part: Text | Media | RefusalText, by_model: bool, where: str) -> Json:
    match part:
        case Text(text=text):
            return {"type": "output_text" if by_model else "input_text", "text": text}
        case RefusalText(text=text):
            return {"type": "refusal", "refusal": text}
        case Media() if by_model:
            raise Refused(where, f"what the model answered as {part.kind} cannot be told again here")
        case Media():
            return _media(part, where)


def _media(part: Media, where: str) -> Json:
    match part.kind:
        case "image":
            address = {"file_id": part.file_id} if part.file_id else {"image_url": _address(part, where)}
            return {"type": "input_image", **address, **({"detail": part.detail} if part.detail else {})}
        case "document" if part.text is not None:
            return {"type": "input_text", "text": part.text}
        case "document":
            if part.file_id:
                return {"type": "input_file", "file_id": part.file_id}
            if part.url:
                return {"type": "input_file", "file_url": part.url}
            name = part.name or f"document.{(part.media_type or 'application/pdf').rpartition('/')[2]}"
            return {"type": "input_file", "filename": name, "file_data": _address(part, where)}
        case "audio" if part.data is not None:
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": sound_form(part.media_type)}}
        case _:
            raise Refused(where, f"{part.kind} cannot be carried here")


def _address(part: Media, where: str) -> str:
    if part.data is not None:
        return data_url(part.media_type, part.data)
    if part.url is None:
        raise Refused(where, f"the {part.kind} has neither data nor an address")
    return part.url


def _output(result: ToolResult, where: str) -> str | list[Json]:
    content = told_result(result)
    if all(isinstance(part, Text) for part in content) and len(content) <= 1:
        return "".join(part.text or "" for part in content)
    return [_content(part, False, f"{where}.content[{number}]") for number, part in enumerate(content)]


def _thoughts(parts: list[Thinking]) -> list[Json]:
    """Return the reasoning item of parts that were one; thoughts without this dialect's proof are left out."""
    if not parts:
        return []
    signature = parts[-1].signature
    if signature is None or signature.origin != DIALECT:
        return []
    item: Json = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": part.text} for part in parts if part.summary],
        "encrypted_content": signature.value,
    }
    content = [{"type": "reasoning_text", "text": part.text} for part in parts if part.text and not part.summary]
    if content:
        item["content"] = content
    if parts[-1].id is not None:
        item["id"] = parts[-1].id
    return [item]


def _tool(tool: Tool, where: str) -> Json:
    """Return a tool. Without a word functions would be strict here, which no other dialect means by saying nothing."""
    if tool.opaque is not None:
        if tool.opaque.dialect != DIALECT:
            raise Refused(where, f"the tool '{tool.name}' is one that only {tool.opaque.dialect} has")
        return tool.opaque.raw
    found: Json = {
        "type": "function",
        "name": tool.name,
        "parameters": tool.schema if tool.schema is not None else _NO_ARGUMENTS,
        "strict": tool.strict is True,
    }
    if tool.description is not None:
        found["description"] = tool.description
    return found


def _tool_choice(choice: ToolChoice) -> str | Json:
    if choice.mode == "named":
        return {"type": "function", "name": choice.name}
    if choice.among and choice.mode != "none":
        tools = [{"type": "function", "name": name} for name in choice.among]
        return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}
    return choice.mode


def _format(asked: Format) -> Json:
    if asked.kind == "json":
        return {"type": "json_object"}
    found: dict[str, Any] = {"type": "json_schema", "name": asked.name or "answer", "schema": asked.schema or {}}
    if asked.description is not None:
        found["description"] = asked.description
    if asked.strict is not None:
        found["strict"] = asked.strict
    return found


def _reasoning(asked: Reasoning) -> Json | None:
    """Return how much to think: in words, the nearest where the client said tokens; thoughts are shown as summary."""
    effort = asked.effort if asked.budget is None or asked.effort is not None else effort_of(asked.budget)
    summary = asked.summary or ("auto" if asked.shown else None)
    found = {"effort": effort, "summary": summary}
    return {name: value for name, value in found.items() if value is not None} or None
