"""What the official SDK of each client's dialect makes of an answer: its typed objects, told in one form."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anthropic
import ollama
import pydantic
from anthropic.lib.streaming._messages import accumulate_event
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion as TextCompletion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from services.providers.domain.sse import parse_event, split_events

_ANTHROPIC_EVENT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(anthropic.types.RawMessageStreamEvent)
_RESPONSES_EVENT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)


@dataclass
class Seen:
    """An answer as its client sees it."""

    text: str
    """A refusal's words included."""
    finish: str
    tokens: tuple[int, int]
    """In and out."""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    """Names and parsed arguments."""
    thoughts: str = ""
    sources: list[str] = field(default_factory=list)
    """The addresses that the words lean on."""


@dataclass(frozen=True)
class SdkClient:
    """One client's dialect, read by its SDK."""

    whole: Callable[[bytes], Seen]
    streamed: Callable[[bytes], Seen]
    finish: dict[str, str]
    """Of each canonical reason to end, what may be shown."""
    calls: bool = True
    """Whether the dialect has calls of tools."""
    thoughts: bool = True
    sources: bool = False
    """Whether it names the addresses that the words lean on."""


def arguments(text: str) -> Any:
    """Parse a call's arguments; what is no JSON stays text."""
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return text


def _events(raw: bytes) -> list[Any]:
    parsed = [parse_event(event) for event in split_events(raw)]
    return [json.loads(event.data) for event in parsed if event is not None and event.data.strip() != b"[DONE]"]


def _chat(found: ChatCompletion) -> Seen:
    choice = found.choices[0]
    made = choice.message.tool_calls or []
    notes = choice.message.annotations or []
    assert found.usage is not None
    assert len({call.id for call in made}) == len(made)
    return Seen(
        text=(choice.message.content or "") + (choice.message.refusal or ""),
        finish=choice.finish_reason,
        tokens=(found.usage.prompt_tokens, found.usage.completion_tokens),
        calls=[(call.function.name, arguments(call.function.arguments)) for call in made if call.type == "function"],
        thoughts=getattr(choice.message, "reasoning_content", None) or "",
        sources=[note.url_citation.url for note in notes],
    )


def _chat_whole(raw: bytes) -> Seen:
    return _chat(ChatCompletion.model_validate_json(raw))


def _chat_streamed(raw: bytes) -> Seen:
    state = ChatCompletionStreamState()
    for event in _events(raw):
        state.handle_chunk(ChatCompletionChunk.model_validate(event))
    return _chat(ChatCompletion.model_validate(state.current_completion_snapshot.to_dict()))


def _text_whole(raw: bytes) -> Seen:
    found = TextCompletion.model_validate_json(raw)
    assert found.usage is not None
    usage = (found.usage.prompt_tokens, found.usage.completion_tokens)
    return Seen(text=found.choices[0].text, finish=found.choices[0].finish_reason, tokens=usage)


def _text_streamed(raw: bytes) -> Seen:
    text, finish, usage = "", "", (0, 0)
    for event in _events(raw):
        for choice in event["choices"]:
            finish = choice["finish_reason"] or finish
            # The SDK types chunks as whole completions, whose finish reason is never null.
            choice["finish_reason"] = finish or "stop"
        chunk = TextCompletion.model_validate(event)
        text += "".join(choice.text for choice in chunk.choices if choice.index == 0)
        if chunk.usage is not None:
            usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
    return Seen(text=text, finish=finish, tokens=usage)


def _message(found: anthropic.types.Message) -> Seen:
    usage = found.usage
    asked = usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return Seen(
        text="".join(block.text for block in found.content if block.type == "text"),
        finish=str(found.stop_reason),
        tokens=(asked, usage.output_tokens),
        calls=[(block.name, block.input) for block in found.content if block.type == "tool_use"],
        thoughts="".join(block.thinking for block in found.content if block.type == "thinking"),
        sources=[
            cited.url
            for block in found.content
            if block.type == "text"
            for cited in block.citations or []
            if cited.type == "web_search_result_location" and cited.url
        ],
    )


def _message_whole(raw: bytes) -> Seen:
    return _message(anthropic.types.Message.model_validate_json(raw))


def _message_streamed(raw: bytes) -> Seen:
    found: Any = None
    pieces: dict[int, bytes] = {}
    for event in _events(raw):
        if event["type"] != "ping":
            typed = _ANTHROPIC_EVENT.validate_python(event)
            found = accumulate_event(event=typed, current_snapshot=found, json_bufs=pieces)
    return _message(found)


def _response(found: Response) -> Seen:
    text, thoughts = "", ""
    sources: list[str] = []
    for item in found.output:
        if item.type == "reasoning":
            thoughts += "".join(part.text for part in [*item.summary, *(item.content or [])])
        if item.type == "message":
            notes = [note for part in item.content if part.type == "output_text" for note in part.annotations]
            sources += [note.url for note in notes if note.type == "url_citation"]
            text += "".join(part.text if part.type == "output_text" else part.refusal for part in item.content)
    assert found.usage is not None
    details = (found.incomplete_details.reason or "") if found.incomplete_details else ""
    return Seen(
        text=text,
        finish=f"{found.status} {details}".strip(),
        tokens=(found.usage.input_tokens, found.usage.output_tokens),
        calls=[(item.name, arguments(item.arguments)) for item in found.output if item.type == "function_call"],
        thoughts=thoughts,
        sources=sources,
    )


def _response_whole(raw: bytes) -> Seen:
    return _response(Response.model_validate_json(raw))


def _response_streamed(raw: bytes) -> Seen:
    text = ""
    found: Any = None
    for number, event in enumerate(_events(raw)):
        found = _RESPONSES_EVENT.validate_python(event)
        assert found.sequence_number == number
        if found.type in ("response.output_text.delta", "response.refusal.delta"):
            text += found.delta
    assert found.type in ("response.completed", "response.incomplete"), found.type
    seen = _response(found.response)
    assert seen.text == text
    return seen


def _ollama(found: Any, text: str, thoughts: str, calls: list[tuple[str, Any]]) -> Seen:
    assert found.done
    tokens = (found.prompt_eval_count or 0, found.eval_count or 0)
    return Seen(text=text, finish=str(found.done_reason), tokens=tokens, calls=calls, thoughts=thoughts)


def _ollama_lines(raw: bytes) -> Seen:
    found: Any = None
    text, thoughts, calls = "", "", []
    for line in raw.splitlines():
        found = ollama.ChatResponse.model_validate_json(line)
        thoughts += found.message.thinking or ""
        text += found.message.content or ""
        calls += [(call.function.name, dict(call.function.arguments)) for call in found.message.tool_calls or []]
    return _ollama(found, text, thoughts, calls)


def _generated_lines(raw: bytes) -> Seen:
    found: Any = None
    text, thoughts = "", ""
    for line in raw.splitlines():
        found = ollama.GenerateResponse.model_validate_json(line)
        thoughts += found.thinking or ""
        text += found.response
    return _ollama(found, text, thoughts, [])


_CHAT = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "stop|content_filter",
    "pause": "stop",
}
_TEXT = {**_CHAT, "tool_calls": "stop", "refusal": "content_filter"}
_ANTHROPIC = {
    "stop": "end_turn|stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
}
_RESPONSES = {
    "stop": "completed",
    "length": "incomplete max_output_tokens",
    "tool_calls": "completed",
    "content_filter": "incomplete content_filter",
    "refusal": "completed|incomplete content_filter",
    "pause": "completed|incomplete",
}
_OLLAMA = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "stop",
    "content_filter": "stop|content_filter",
    "refusal": "stop|refusal",
    "pause": "stop",
}
SDKS: dict[str, SdkClient] = {
    "openai_chat": SdkClient(_chat_whole, _chat_streamed, _CHAT, sources=True),
    "openai_completions": SdkClient(_text_whole, _text_streamed, _TEXT, calls=False, thoughts=False),
    "openai_responses": SdkClient(_response_whole, _response_streamed, _RESPONSES, sources=True),
    "anthropic_messages": SdkClient(_message_whole, _message_streamed, _ANTHROPIC, sources=True),
    "ollama_chat": SdkClient(_ollama_lines, _ollama_lines, _OLLAMA),
    "ollama_generate": SdkClient(_generated_lines, _generated_lines, _OLLAMA, calls=False),
}
"""By the name of the client's dialect."""
