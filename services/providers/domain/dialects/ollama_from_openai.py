"""OpenAI's chat completions asked of Ollama's native chat: the request.

https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion
"""

from functools import partial
from typing import Any, Final, cast

import msgspec

from services.providers.domain.dialect import Outgoing, unsupported
from services.providers.domain.dialects.ollama_answer import StreamReader, read_whole
from services.providers.domain.usage import estimated_tokens, input_size
from services.providers.domain.vendor import Vendor
from shared.contracts.frames import Completion, Fail

_OPTIONS: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
"""OpenAI's parameter → Ollama's option, taken as they are."""
_ELSEWHERE: Final = frozenset(
    {"model", "models", "messages", "stream", "stream_options", "tools", "tool_choice", "response_format", "usage"}
    | {"reasoning_effort"}
)
"""Read by functions of their own."""
_INERT: Final = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})
"""They change nothing about an answer: left out, and named as dropped."""
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "parallel_tool_calls": (True,),
    "functions": ([],),
    "function_call": ("auto", "none"),
    "modalities": (["text"],),
    "verbosity": ("medium",),
}
"""Values that ask for nothing beyond what Ollama does anyway."""
_LEAST_CONTEXT: Final = 4_096
"""Ollama's own default: below it nothing is asked for, so that a model is not loaded anew."""
_MOST_CONTEXT: Final = 131_072
_ANSWER_TOKENS: Final = 1_024
_IMAGE_TOKENS: Final = 1_024


class _Refused(Exception):
    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def outgoing(request: Completion, vendor: Vendor, created: int) -> Outgoing | Fail:
    """Return the request to send (``created``: Unix seconds, for the answer), or the parameter that cannot be."""
    try:
        body, dropped = _body(request)
    except _Refused as refused:
        return unsupported(refused.param, str(refused))
    return Outgoing(
        path=vendor.path("ollama_chat", request.native_id),
        body=body,
        reader=partial(StreamReader, request, created),
        whole=partial(read_whole, request, created),
        dropped=dropped,
    )


def _body(request: Completion) -> tuple[dict[str, Any], tuple[str, ...]]:
    asked = request.body
    dropped = [name for name in asked if name in _INERT and asked[name] is not None]
    body: dict[str, Any] = {"model": request.native_id, "messages": _messages(asked.get("messages"))}
    body["stream"] = request.stream
    options = {_OPTIONS[name]: value for name, value in asked.items() if name in _OPTIONS and value is not None}
    if isinstance(options.get("stop"), str):
        options["stop"] = [options["stop"]]
    needed = _context(asked, body["messages"], options.get("num_predict"))
    if needed > _LEAST_CONTEXT:
        options["num_ctx"] = needed
    if options:
        body["options"] = options
    for name in ("tool_choice", "response_format", "reasoning_effort", *asked):
        if name not in asked or asked[name] is None:
            continue
        try:
            _take(name, asked[name], body, asked)
        except _Refused:
            if not request.drop_params:
                raise
            if name not in dropped:
                dropped.append(name)
    return body, tuple(dropped)


def _take(name: str, value: Any, body: dict[str, Any], asked: dict[str, Any]) -> None:
    """Put one parameter into the body, or refuse it."""
    match name:
        case "tools":
            if value and asked.get("tool_choice") != "none":
                body["tools"] = value
        case "tool_choice":
            if value not in ("auto", "none"):
                raise _Refused(name, "Ollama cannot be made to call a tool: tool_choice may be auto or none")
        case "response_format":
            _format(value, body)
        case "reasoning_effort":
            body["think"] = False if value in ("none", "minimal") else value
        case _:
            if name in _OPTIONS or name in _ELSEWHERE or name in _INERT or value in _NEUTRAL.get(name, ()):
                return
            raise _Refused(name, f"Ollama does not know {name}")


def _format(value: Any, body: dict[str, Any]) -> None:
    told = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    kind = told.get("type")
    if kind == "json_object":
        body["format"] = "json"
    elif kind == "json_schema":
        given = told.get("json_schema")
        schema = cast("dict[str, Any]", given).get("schema") if isinstance(given, dict) else None
        if schema is None:
            raise _Refused("response_format", "response_format.json_schema.schema is missing")
        body["format"] = schema
    elif kind != "text":
        raise _Refused("response_format", f"Ollama does not know the format {kind!r}")


def _context(asked: dict[str, Any], messages: list[dict[str, Any]], predict: Any) -> int:
    """Return the context size, in tokens, that prompt and answer need: a power of two, so that a conversation that
    grows seldom loads the model anew (https://github.com/ollama/ollama/issues/3839)."""
    images = sum(len(message.get("images", ())) for message in messages)
    prompt = estimated_tokens(input_size(asked)) * 5 // 4 + images * _IMAGE_TOKENS
    answer = predict if type(predict) is int and predict > 0 else _ANSWER_TOKENS
    size = _LEAST_CONTEXT
    while size < prompt + answer and size < _MOST_CONTEXT:
        size *= 2
    return size


def _messages(given: Any) -> list[dict[str, Any]]:
    if not isinstance(given, list):
        raise _Refused("messages", "messages must be a list")
    names: dict[str, str] = {}
    return [_message(message, names, index) for index, message in enumerate(cast("list[Any]", given))]


def _message(given: Any, names: dict[str, str], index: int) -> dict[str, Any]:
    where = f"messages[{index}]"
    if not isinstance(given, dict):
        raise _Refused(where, f"{where} must be an object")
    message = cast("dict[str, Any]", given)
    role = message.get("role")
    text, images = _content(message.get("content"), where)
    told: dict[str, Any] = {"role": "system" if role == "developer" else role, "content": text}
    if images:
        told["images"] = images
    match role:
        case "assistant":
            calls = [
                _call(call, names, f"{where}.tool_calls") for call in cast("list[Any]", message.get("tool_calls") or [])
            ]
            if calls:
                told["tool_calls"] = calls
            if isinstance(message.get("reasoning_content"), str):
                told["thinking"] = message["reasoning_content"]
        case "tool":
            identity = str(message.get("tool_call_id", ""))
            told["tool_call_id"] = identity
            if identity in names:
                told["tool_name"] = names[identity]
        case "system" | "developer" | "user":
            pass
        case _:
            raise _Refused(f"{where}.role", f"Ollama does not know the role {role!r}")
    return told


def _call(call: Any, names: dict[str, str], where: str) -> dict[str, Any]:
    try:
        function = call["function"]
        name = str(function["name"])
        arguments = msgspec.json.decode(function.get("arguments") or "{}")
    except (KeyError, TypeError, AttributeError, msgspec.DecodeError) as error:
        raise _Refused(where, f"{where}: a call needs function.name and arguments in JSON") from error
    identity = str(call.get("id", ""))
    names[identity] = name
    return {"id": identity, "function": {"name": name, "arguments": arguments}}


def _content(content: Any, where: str) -> tuple[str, list[str]]:
    if content is None:
        return "", []
    if isinstance(content, str):
        return content, []
    if not isinstance(content, list):
        raise _Refused(f"{where}.content", f"{where}.content must be text or a list of parts")
    texts: list[str] = []
    images: list[str] = []
    for part in cast("list[Any]", content):
        told = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
        kind = told.get("type")
        if kind == "text":
            texts.append(str(told.get("text", "")))
        elif kind == "image_url":
            images.append(_image(told.get("image_url"), where))
        else:
            raise _Refused(f"{where}.content", f"Ollama takes text and images, not parts of type {kind!r}")
    return "\n".join(texts), images


def _image(given: object, where: str) -> str:
    url = cast("dict[str, Any]", given).get("url") if isinstance(given, dict) else given
    head, comma, data = str(cast("object", url)).partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise _Refused(f"{where}.content", "Ollama fetches no images: image_url must be a data URL in base64")
    return data
