"""The official SDKs, each asking for the same things in its own words and telling what it got in the same ones."""

import json
from dataclasses import dataclass, field
from typing import Any

import anthropic
import ollama
import openai
from pydantic import BaseModel


@dataclass
class Said:
    """An answer as an SDK understood it."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    """Names and parsed arguments."""
    finish: str = "stop"
    """In OpenAI's words."""
    model: str = ""
    input: int = 0
    output: int = 0
    raw: Any = None
    """What the client keeps of the turn."""


class Sum(BaseModel):
    """A structured answer."""

    total: int
    words: list[str]


ADD = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
DESCRIPTION = "Add two numbers."


class OpenAIChat:
    """``openai``, chat."""

    name = "openai chat"

    def __init__(self, url: str, key: str) -> None:
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20)

    def close(self) -> None:
        self.sdk.close()

    def ask(self, model: str, said: str, *, stream: bool, tools: bool = False, turn: Any = None, **more: Any) -> Said:
        messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": said}]
        if turn is not None:
            messages += turn
        function = {"name": "add", "description": DESCRIPTION, "parameters": ADD, "strict": True}
        if tools:
            more["tools"] = [{"type": "function", "function": function}]
        if stream:
            more["stream_options"] = {"include_usage": True}
            with self.sdk.chat.completions.stream(model=model, messages=messages, **more) as events:
                try:
                    got: Any = events.get_final_completion()
                except openai.LengthFinishReasonError as too_long:
                    got = too_long.completion
        else:
            got = self.sdk.chat.completions.create(model=model, messages=messages, **more)
        return self.understood(got)

    def understood(self, got: Any) -> Said:
        [choice] = got.choices
        calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or []]
        return Said(
            text=choice.message.content or "",
            thinking=getattr(choice.message, "reasoning_content", None) or "",
            calls=calls,
            finish=choice.finish_reason,
            model=got.model,
            input=got.usage.prompt_tokens,
            output=got.usage.completion_tokens,
            raw=choice.message,
        )

    def result(self, said: Said, value: str) -> list[Any]:
        """Return the turns that answer the calls of ``said``."""
        results = [{"role": "tool", "tool_call_id": call.id, "content": value} for call in said.raw.tool_calls]
        return [said.raw.model_dump(exclude_none=True), *results]

    def parse(self, model: str, said: str) -> Sum | None:
        messages: list[Any] = [{"role": "user", "content": said}]
        got = self.sdk.chat.completions.parse(model=model, messages=messages, response_format=Sum)
        return got.choices[0].message.parsed

    def image(self, model: str, data: str) -> Said:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
        messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "see"}, image]}]
        return self.understood(self.sdk.chat.completions.create(model=model, messages=messages))


class OpenAIResponses:
    """``openai``, responses."""

    name = "openai responses"

    def __init__(self, url: str, key: str) -> None:
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20)

    def close(self) -> None:
        self.sdk.close()

    def ask(self, model: str, said: str, *, stream: bool, tools: bool = False, turn: Any = None, **more: Any) -> Said:
        asked: list[Any] = [{"role": "user", "content": said}, *(turn or [])]
        if tools:
            tool = {"name": "add", "description": DESCRIPTION, "parameters": ADD, "strict": True}
            more["tools"] = [{"type": "function", **tool}]
        if stream:
            with self.sdk.responses.stream(model=model, input=asked, instructions="Be brief.", **more) as events:
                *_, last = events  # the SDK knows no other end than completion
                assert last.type in ("response.completed", "response.incomplete"), last
                got: Any = last.response
        else:
            got = self.sdk.responses.create(model=model, input=asked, instructions="Be brief.", **more)
        return self.understood(got)

    def understood(self, got: Any) -> Said:
        calls = [(item.name, json.loads(item.arguments)) for item in got.output if item.type == "function_call"]
        reasoning = [item for item in got.output if item.type == "reasoning"]
        thoughts = [part.text for item in reasoning for part in (*item.summary, *(item.content or ()))]
        ended = "tool_calls" if calls else "stop"
        return Said(
            text=got.output_text,
            thinking="".join(thoughts),
            calls=calls,
            finish="length" if got.status == "incomplete" else ended,
            model=got.model,
            input=got.usage.input_tokens,
            output=got.usage.output_tokens,
            raw=got,
        )

    def result(self, said: Said, value: str) -> list[Any]:
        """Return the turns that answer the calls of ``said``."""
        calls = [item for item in said.raw.output if item.type == "function_call"]
        results = [{"type": "function_call_output", "call_id": call.call_id, "output": value} for call in calls]
        return [*(item.to_dict() for item in said.raw.output), *results]

    def parse(self, model: str, said: str) -> Sum | None:
        return self.sdk.responses.parse(model=model, input=said, text_format=Sum).output_parsed

    def image(self, model: str, data: str) -> Said:
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{data}", "detail": "auto"}
        parts: list[Any] = [{"type": "input_text", "text": "see"}, image]
        return self.understood(self.sdk.responses.create(model=model, input=[{"role": "user", "content": parts}]))


class Anthropic:
    """``anthropic``, messages."""

    name = "anthropic"
    _FINISH = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}

    def __init__(self, url: str, key: str) -> None:
        self.sdk = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=20)

    def close(self) -> None:
        self.sdk.close()

    def ask(self, model: str, said: str, *, stream: bool, tools: bool = False, turn: Any = None, **more: Any) -> Said:
        messages: list[Any] = [{"role": "user", "content": said}, *(turn or [])]
        if tools:
            more["tools"] = [{"name": "add", "description": DESCRIPTION, "input_schema": ADD}]
        more = {"max_tokens": 2048, "system": "Be brief."} | more
        if stream:
            with self.sdk.messages.stream(model=model, messages=messages, **more) as events:
                got: Any = events.get_final_message()
        else:
            got = self.sdk.messages.create(model=model, messages=messages, **more)
        return self.understood(got)

    def understood(self, got: Any) -> Said:
        return Said(
            text="".join(block.text for block in got.content if block.type == "text"),
            thinking="".join(block.thinking for block in got.content if block.type == "thinking"),
            calls=[(block.name, block.input) for block in got.content if block.type == "tool_use"],
            finish=self._FINISH[got.stop_reason],
            model=got.model,
            input=got.usage.input_tokens,
            output=got.usage.output_tokens,
            raw=got.content,
        )

    def result(self, said: Said, value: str) -> list[Any]:
        """Return the turns that answer the calls of ``said``."""
        calls = [block for block in said.raw if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": block.id, "content": value} for block in calls]
        blocks = [block.model_dump(exclude_none=True) for block in said.raw]
        return [{"role": "assistant", "content": blocks}, {"role": "user", "content": results}]

    def parse(self, model: str, said: str) -> Sum | None:
        messages: list[Any] = [{"role": "user", "content": said}]
        got = self.sdk.messages.parse(model=model, max_tokens=100, messages=messages, output_format=Sum)
        return got.parsed_output

    def image(self, model: str, data: str) -> Said:
        source = {"type": "base64", "media_type": "image/png", "data": data}
        parts: list[Any] = [{"type": "text", "text": "see"}, {"type": "image", "source": source}]
        messages: list[Any] = [{"role": "user", "content": parts}]
        return self.understood(self.sdk.messages.create(model=model, max_tokens=100, messages=messages))


class Ollama:
    """``ollama``, chat."""

    name = "ollama"

    def __init__(self, url: str, key: str) -> None:
        self.sdk = ollama.Client(url, headers={"authorization": f"Bearer {key}"}, timeout=20)

    def close(self) -> None:
        self.sdk.close()

    def ask(self, model: str, said: str, *, stream: bool, tools: bool = False, turn: Any = None, **more: Any) -> Said:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": said}, *(turn or [])]
        if tools:
            function = {"name": "add", "description": DESCRIPTION, "parameters": ADD}
            more["tools"] = [{"type": "function", "function": function}]
        got: Any = self.sdk.chat(model, messages=messages, stream=stream, **more)
        return self.understood(list(got) if stream else [got])

    def understood(self, got: list[Any]) -> Said:
        last = got[-1]
        assert last.done
        calls = [call for chunk in got for call in chunk.message.tool_calls or []]
        text = "".join(chunk.message.content or "" for chunk in got)
        return Said(
            text=text,
            thinking="".join(chunk.message.thinking or "" for chunk in got),
            calls=[(call.function.name, dict(call.function.arguments)) for call in calls],
            finish=last.done_reason if last.done_reason != "stop" or not calls else "tool_calls",
            model=last.model,
            input=last.prompt_eval_count or 0,
            output=last.eval_count or 0,
            raw=ollama.Message(role="assistant", content=text, tool_calls=calls or None),
        )

    def result(self, said: Said, value: str) -> list[Any]:
        """Return the turns that answer the calls of ``said``."""
        results = [{"role": "tool", "tool_name": name, "content": value} for name, _ in said.calls]
        return [said.raw, *results]

    def parse(self, model: str, said: str) -> Sum | None:
        messages = [{"role": "user", "content": said}]
        got = self.sdk.chat(model, messages=messages, format=Sum.model_json_schema())
        return Sum.model_validate_json(got.message.content or "")

    def image(self, model: str, data: str) -> Said:
        return self.understood([self.sdk.chat(model, messages=[{"role": "user", "content": "see", "images": [data]}])])


CLIENTS = (OpenAIChat, OpenAIResponses, Anthropic, Ollama)
Client = OpenAIChat | OpenAIResponses | Anthropic | Ollama
