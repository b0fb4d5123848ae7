"""What a request asks of a model, read off its body in one pass, in every dialect that clients speak."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

import msgspec

from shared.contracts.usage import Needs

MEDIA_TOKENS: Final = 800
"""A rough count for one image, sound or document, whose bytes say nothing about its tokens."""
_BYTES_PER_TOKEN: Final = 4
_MEDIA: Final[Mapping[str, str]] = {
    "image_url": "vision",
    "input_image": "vision",
    "image": "vision",
    "input_audio": "audio",
    "file": "",
    "input_file": "",
    "document": "",
}
"""Parts that are no text, by type, and the capability that each needs, where it is one."""
_ENCODER: Final = msgspec.json.Encoder()

Body = dict[str, Any]
_Read = tuple[list[str], int, Any]
"""Capabilities, bytes of the input, and the most that may be answered, as the client said it."""


def needs_of(body: Body, dialect: str) -> Needs:
    """Return the needs of a request in a client's dialect; raises KeyError for a dialect that is none.

    ``input_tokens`` is an estimate, a token for every four bytes of text; of a request that only counts tokens it is
    0, since a prompt may be counted that fits nowhere. ``completion`` is what a model that chats can do as well. A
    body of the wrong shape is read as far as it goes: refusing it is not decided here.
    """
    capabilities, size, output = _READERS[dialect](body)
    return Needs(
        capabilities=tuple(capabilities),
        input_tokens=-(-size // _BYTES_PER_TOKEN),
        output_tokens=output if type(output) is int and output > 0 else None,
    )


def _chat(body: Body) -> _Read:
    capabilities = ["chat"]
    size = _size_of_messages(body.get("messages"), capabilities)
    size += _size_of_tools(body.get("tools") or body.get("functions"), capabilities)
    _note_schema(body.get("response_format"), capabilities)
    return capabilities, size, body.get("max_completion_tokens") or body.get("max_tokens")


def _completion(body: Body) -> _Read:
    return ["completion"], _size_of_prompt(body.get("prompt")), body.get("max_tokens")


def _response(body: Body) -> _Read:
    capabilities = ["chat"]
    size = _size_of_prompt(body.get("instructions"))
    items = body.get("input")
    size += _bytes(items) if isinstance(items, str) else _size_of_messages(items, capabilities)
    size += _size_of_tools(body.get("tools"), capabilities)
    text = body.get("text")
    if isinstance(text, dict):
        _note_schema(cast("Body", text).get("format"), capabilities)
    return capabilities, size, body.get("max_output_tokens")


def _message(body: Body) -> _Read:
    capabilities = ["chat"]
    size = _size_of_content(body.get("system"), capabilities)
    size += _size_of_messages(body.get("messages"), capabilities)
    size += _size_of_tools(body.get("tools"), capabilities)
    output = body.get("output_config")
    _note_schema(cast("Body", output).get("format") if isinstance(output, dict) else None, capabilities)
    _note_schema(body.get("output_format"), capabilities)
    return capabilities, size, body.get("max_tokens")


def _count(body: Body) -> _Read:
    return _message(body)[0], 0, None


def _ollama_chat(body: Body) -> _Read:
    capabilities = ["chat"]
    size = _size_of_messages(body.get("messages"), capabilities)
    size += _size_of_tools(body.get("tools"), capabilities)
    return capabilities, size, _ollama_options(body, capabilities)


def _ollama_generate(body: Body) -> _Read:
    capabilities = ["completion"]
    size = sum(_size_of_prompt(body.get(name)) for name in ("prompt", "system", "suffix"))
    size += _size_of_images(body.get("images"), capabilities)
    return capabilities, size, _ollama_options(body, capabilities)


def _embedding(body: Body) -> _Read:
    return ["embedding"], _size_of_prompt(body.get("input")), None


_READERS: Final[Mapping[str, Callable[[Body], _Read]]] = MappingProxyType(
    {
        "openai_chat": _chat,
        "openai_completions": _completion,
        "openai_responses": _response,
        "openai_embeddings": _embedding,
        "anthropic_messages": _message,
        "anthropic_count_tokens": _count,
        "ollama_chat": _ollama_chat,
        "ollama_generate": _ollama_generate,
        "ollama_embed": _embedding,
    }
)


def _ollama_options(body: Body, capabilities: list[str]) -> Any:
    """Note what Ollama's ``format`` needs and return its limit of the answer."""
    if isinstance(body.get("format"), dict):
        capabilities.append("json_schema")
    options = body.get("options")
    return cast("Body", options).get("num_predict") if isinstance(options, dict) else None


def _note_schema(form: Any, capabilities: list[str]) -> None:
    if isinstance(form, dict) and cast("Body", form).get("type") == "json_schema" and "json_schema" not in capabilities:
        capabilities.append("json_schema")


def _size_of_tools(tools: Any, capabilities: list[str]) -> int:
    if not tools:
        return 0
    capabilities.append("tools")
    return len(_ENCODER.encode(tools))


def _size_of_messages(messages: Any, capabilities: list[str]) -> int:
    """Return the bytes of all messages, or items of a response's input, and note what their parts need."""
    size = 0
    if not isinstance(messages, list):
        return size
    for message in cast("list[Any]", messages):
        if not isinstance(message, dict):
            continue
        fields = cast("Body", message)
        content = fields.get("content")
        if isinstance(content, str):
            size += _bytes(content)
        elif content is not None:
            size += _size_of_content(content, capabilities)
        calls = fields.get("tool_calls")
        if calls:
            size += len(_ENCODER.encode(calls))
        if "type" in fields and content is None:
            size += _size_of_part(fields, capabilities)
        if "images" in fields:
            size += _size_of_images(fields["images"], capabilities)
    return size


def _size_of_content(content: Any, capabilities: list[str]) -> int:
    """Return the bytes of a text, or of a list of parts."""
    if isinstance(content, str):
        return _bytes(content)
    if not isinstance(content, list):
        return 0
    parts = cast("list[Any]", content)
    return sum(_size_of_part(cast("Body", part), capabilities) for part in parts if isinstance(part, dict))


def _size_of_part(part: Body, capabilities: list[str]) -> int:
    text = part.get("text")
    if isinstance(text, str):
        return _bytes(text)
    kind = part.get("type")
    if kind in ("tool_use", "function_call"):
        return len(_ENCODER.encode(part.get("input") or part.get("arguments")))
    if kind == "tool_result":
        return _size_of_content(part.get("content"), capabilities)
    if kind == "function_call_output":
        return _size_of_content(part.get("output"), capabilities)
    need = _MEDIA.get(str(kind))
    if need is None:
        return 0
    if need and need not in capabilities:
        capabilities.append(need)
    return MEDIA_TOKENS * _BYTES_PER_TOKEN


def _size_of_images(images: Any, capabilities: list[str]) -> int:
    if not images or not isinstance(images, list):
        return 0
    if "vision" not in capabilities:
        capabilities.append("vision")
    return len(cast("list[Any]", images)) * MEDIA_TOKENS * _BYTES_PER_TOKEN


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
