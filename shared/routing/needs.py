"""What a request asks of a model, read off its body in one pass."""

from typing import Any, Final, cast

import msgspec

from shared.contracts.usage import Needs

MEDIA_TOKENS: Final = 800
"""A rough count for one image or sound, whose bytes say nothing about its tokens."""
_BYTES_PER_TOKEN: Final = 4
_MEDIA: Final = {"image_url": "vision", "input_audio": "audio"}
_ENCODER: Final = msgspec.json.Encoder()


def needs_of(body: dict[str, Any]) -> Needs:
    """Return the needs of a body of ``/v1/chat/completions`` (``messages``) or ``/v1/completions`` (``prompt``).

    ``input_tokens`` is an estimate, a token for every four bytes of text. A body of the wrong shape is read as far as
    it goes: refusing it is not decided here.
    """
    capabilities: list[str]
    if "messages" in body:
        capabilities = ["chat"]
        size = _size_of_messages(body["messages"], capabilities)
    else:
        capabilities = ["completion"]
        size = _size_of_prompt(body.get("prompt"))
    tools = body.get("tools") or body.get("functions")
    if tools:
        capabilities.append("tools")
        size += len(_ENCODER.encode(tools))
    response_format = body.get("response_format")
    if isinstance(response_format, dict):
        described = cast("dict[str, Any]", response_format)
        if described.get("type") == "json_schema":
            capabilities.append("json_schema")
    output = body.get("max_completion_tokens") or body.get("max_tokens")
    return Needs(
        capabilities=tuple(capabilities),
        input_tokens=-(-size // _BYTES_PER_TOKEN),
        output_tokens=output if type(output) is int and output > 0 else None,
    )


def _size_of_messages(messages: Any, capabilities: list[str]) -> int:
    """Return the bytes of all messages and note the capabilities that their parts need."""
    size = 0
    if not isinstance(messages, list):
        return size
    for message in cast("list[Any]", messages):
        if not isinstance(message, dict):
            continue
        fields = cast("dict[str, Any]", message)
        content = fields.get("content")
        if isinstance(content, str):
            size += _bytes(content)
        elif isinstance(content, list):
            size += _size_of_parts(cast("list[Any]", content), capabilities)
        calls = fields.get("tool_calls")
        if calls:
            size += len(_ENCODER.encode(calls))
    return size


def _size_of_parts(parts: list[Any], capabilities: list[str]) -> int:
    size = 0
    for part in parts:
        if not isinstance(part, dict):
            continue
        fields = cast("dict[str, Any]", part)
        text = fields.get("text")
        if isinstance(text, str):
            size += _bytes(text)
            continue
        need = _MEDIA.get(str(fields.get("type")))
        if need is not None:
            size += MEDIA_TOKENS * _BYTES_PER_TOKEN
            if need not in capabilities:
                capabilities.append(need)
    return size


def _size_of_prompt(prompt: Any) -> int:
    """Return the bytes of a prompt: a text, a list of texts, a list of tokens or a list of lists of tokens."""
    if isinstance(prompt, str):
        return _bytes(prompt)
    if not isinstance(prompt, list):
        return 0
    items = cast("list[Any]", prompt)
    if items and isinstance(items[0], int):
        return len(items) * _BYTES_PER_TOKEN
    return sum(_size_of_prompt(item) for item in items)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
