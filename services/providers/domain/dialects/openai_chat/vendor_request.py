"""What vendors are asked in OpenAI's chat, written from the canonical form.

The quirks that are known here, beside those of content: ``no stream_options`` (counts unasked, refuses the field),
``max_completion_tokens`` (the newer name), ``random_seed`` (for ``seed``), ``nine letter call ids``, ``prefix`` (a
last message of the assistant's is marked), ``reasoning object`` (OpenRouter's), ``thinking switch`` (``thinking:
{type}`` beside the effort), ``reasoning_content`` and ``reasoning_details`` (earlier thoughts are taken back so).
"""

import hashlib
import re
from collections.abc import Sequence
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
from services.providers.domain.content import told_result
from services.providers.domain.dialect import Wire
from services.providers.domain.dialects.openai_chat.content import said
from services.providers.domain.dialects.openai_chat.thoughts import NAME, fields_of, own
from services.providers.domain.effort import effort_of

TAKES: Final = frozenset(Parameter)
_AS_THEY_ARE: Final = (
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("logit_bias", "logit_bias"),
    ("logprobs", "logprobs"),
    ("top_logprobs", "top_logprobs"),
    ("n", "n"),
    ("audio", "audio"),
    ("verbosity", "verbosity"),
    ("prediction", "prediction"),
    ("user", "user"),
    ("metadata", "metadata"),
    ("service_tier", "service_tier"),
    ("store", "store"),
    ("cache_key", "prompt_cache_key"),
    ("web_search", "web_search_options"),
)
_NINE: Final = re.compile(r"[A-Za-z0-9]{9}")


def encode_request(ask: Ask, wire: Wire) -> Json:
    """Write a request; raises Refused for content that cannot be said."""
    quirks = wire.quirks
    body: Json = {"model": wire.native_id, "messages": _messages(ask.messages, quirks)}
    for field, name in _AS_THEY_ARE:
        value = getattr(ask, field)
        if value is not None:
            body[name] = value
    if ask.seed is not None:
        body["random_seed" if "random_seed" in quirks else "seed"] = ask.seed
    if ask.max_output is not None:
        body["max_completion_tokens" if "max_completion_tokens" in quirks else "max_tokens"] = ask.max_output
    if ask.stop:
        body["stop"] = list(ask.stop)
    if ask.modalities:
        body["modalities"] = list(ask.modalities)
    if ask.format is not None:
        body["response_format"] = _format(ask.format)
    if ask.reasoning is not None:
        body |= _reasoning(ask.reasoning, quirks)
    body |= _tools(ask)
    if ask.stream:
        body["stream"] = True
        if "no stream_options" not in quirks:
            body["stream_options"] = {"include_usage": True}
    return body


def _messages(messages: Sequence[Message], quirks: frozenset[str]) -> list[Json]:
    out: list[Json] = []
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if message.role == "assistant":
            out.append(_assistant(message, where, quirks))
        else:
            out += _others(message, where, quirks)
    if "prefix" in quirks and out and out[-1]["role"] == "assistant":
        out[-1]["prefix"] = True
    return out


def _others(message: Message, where: str, quirks: frozenset[str]) -> list[Json]:
    """Return a message of the user's or instructions, after the results in it; images of results follow them."""
    out: list[Json] = []
    shown: list[Json] = []
    rest: list[Json] = []
    for place, part in enumerate(message.parts):
        here = f"{where}.content[{place}]"
        match part:
            case ToolResult():
                returned = told_result(part)
                texts = [item for item in returned if isinstance(item, Text)]
                media = [item for item in returned if isinstance(item, Media)]
                content = _content([said(item, here, quirks) for item in texts])
                identity = _call_id(part.id, quirks)
                out.append({"role": "tool", "tool_call_id": identity, "content": content or _SHOWN_BELOW * bool(media)})
                if media:
                    shown.append({"type": "text", "text": f"What the call {identity} returned:"})
                    shown += [said(item, here, quirks) for item in media]
            case Text() | Media():
                rest.append(said(part, here, quirks))
            case _:
                raise Refused(here, f"{here}: this part cannot be said in OpenAI's chat")
    if shown or rest or not out:
        told: Json = {"role": message.role, "content": _content([*shown, *rest])}
        if message.name is not None:
            told["name"] = message.name
        out.append(told)
    return out


_SHOWN_BELOW: Final = "(shown below)"


def _content(parts: list[Json]) -> Any:
    """Return content in its plainest form."""
    if not parts:
        return ""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return parts[0]["text"]
    return parts


def _assistant(message: Message, where: str, quirks: frozenset[str]) -> Json:
    texts: list[Text] = []
    calls: list[Json] = []
    thoughts: list[Thinking] = []
    told: Json = {"role": "assistant", "content": None}
    for place, part in enumerate(message.parts):
        match part:
            case Text():
                texts.append(part)
            case ToolCall():
                calls.append(_call(part, quirks))
            case Thinking():
                thoughts.append(part)
            case RefusalText(text=text):
                told["refusal"] = told.get("refusal", "") + text
            case Opaque(dialect=dialect, raw=raw) if dialect == NAME:
                calls.append(raw)
            case _:
                here = f"{where}.content[{place}]"
                raise Refused(here, f"{here}: this part cannot be said in OpenAI's chat")
    if texts:
        told["content"] = _spoken(texts, where, quirks)
    elif not calls and "refusal" not in told:
        told["content"] = ""
    if calls:
        told["tool_calls"] = calls
    if message.name is not None:
        told["name"] = message.name
    return told | _earlier(thoughts, quirks)


def _spoken(texts: list[Text], where: str, quirks: frozenset[str]) -> Any:
    if "cache_control" in quirks and any(text.cache for text in texts):
        return [said(text, where, quirks) for text in texts]
    return "".join(text.text for text in texts)


def _earlier(thoughts: list[Thinking], quirks: frozenset[str]) -> Json:
    """Return earlier reasoning as far as the vendor takes it: its own with proof, or the words alone."""
    if "reasoning_details" in quirks:
        return fields_of(part for part in thoughts if own(part.signature))
    text = "".join(part.text for part in thoughts)
    return {"reasoning_content": text} if text and "reasoning_content" in quirks else {}


def _call(call: ToolCall, quirks: frozenset[str]) -> Json:
    told: Json = {
        "id": _call_id(call.id, quirks),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }
    if call.signature is not None and own(call.signature):
        told["extra_content"] = {"google": {"thought_signature": call.signature.value}}
    return told


def _call_id(identity: str, quirks: frozenset[str]) -> str:
    """Mistral takes nine letters or digits alone: https://docs.mistral.ai/capabilities/function_calling/."""
    if "nine letter call ids" not in quirks or _NINE.fullmatch(identity):
        return identity
    return hashlib.blake2b(identity.encode(), digest_size=5).hexdigest()[:9]


def _format(wanted: Format) -> Json:
    if wanted.kind == "json":
        return {"type": "json_object"}
    inner: Json = {"name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.description is not None:
        inner["description"] = wanted.description
    if wanted.strict is not None:
        inner["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": inner}


def _reasoning(wanted: Reasoning, quirks: frozenset[str]) -> Json:
    effort = wanted.effort
    if "reasoning object" in quirks:
        told: Json = {"enabled": True} if wanted.adaptive else {}
        if wanted.budget is not None:
            told = {"max_tokens": wanted.budget}
        elif effort is not None:
            told = {"effort": effort}
        if wanted.shown is False:
            told["exclude"] = True
        return {"reasoning": told} if told else {}
    if effort is None and wanted.budget is not None:
        effort = effort_of(wanted.budget)
    if "thinking switch" in quirks:
        if effort is None and not wanted.adaptive:
            return {}
        if effort == "none":
            return {"thinking": {"type": "disabled"}}
        return {"thinking": {"type": "enabled"}, **({} if effort is None else {"reasoning_effort": effort})}
    return {} if effort is None else {"reasoning_effort": effort}


def _tools(ask: Ask) -> Json:
    choice = ask.tool_choice
    among = choice.among if choice is not None else ()
    tools = [_tool(tool, f"tools[{place}]") for place, tool in enumerate(ask.tools) if not among or tool.name in among]
    if not tools:
        return {}
    told: Json = {"tools": tools}
    if choice is not None:
        told["tool_choice"] = _choice(choice)
    if ask.parallel_tool_calls is not None:
        told["parallel_tool_calls"] = ask.parallel_tool_calls
    return told


def _choice(choice: ToolChoice) -> Any:
    return {"type": "function", "function": {"name": choice.name}} if choice.mode == "named" else choice.mode


def _tool(tool: Tool, where: str) -> Json:
    if tool.opaque is not None:
        if tool.opaque.dialect != NAME:
            raise Refused(where, f"{where}: '{tool.name}' is a tool of another vendor's")
        return tool.opaque.raw
    function: Json = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None:
        function["parameters"] = tool.schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}
