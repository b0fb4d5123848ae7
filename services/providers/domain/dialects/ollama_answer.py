"""Ollama's native answers, whole and as lines of JSON, read as OpenAI's chat completions.

https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion
"""

from typing import Any, Final

import msgspec

from services.providers.domain.dialect import malformed
from services.providers.domain.errors import UNREADABLE, VendorError, error_in_answer
from services.providers.domain.ndjson import Lines, LineTooLarge
from services.providers.domain.sse import DONE, encode_event
from services.providers.domain.usage import ollama_usage, settled
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Frame, Tail
from shared.contracts.usage import NO_TOKENS, Tokens


class _Function(msgspec.Struct):
    name: str
    arguments: Any = None


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Line(msgspec.Struct):
    message: _Message | None = None
    model: str | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    error: Any = None


_DECODER: Final = msgspec.json.Decoder(_Line)
_ENCODE: Final = msgspec.json.Encoder().encode
_NOT_READ: Final = "the vendor's answer is not JSON of Ollama's chat"


def _completion_id(request: Completion) -> str:
    return "chatcmpl-" + request.attempt_id.replace("-", "")


def _calls(request: Completion, calls: list[_Call], seen: int, *, indexed: bool) -> list[dict[str, Any]]:
    """Return calls as OpenAI's, numbered after the ``seen`` ones before; ids that Ollama does not give are made."""
    return [
        ({"index": seen + place} if indexed else {})
        | {
            "id": call.id or f"call_{request.attempt_id.replace('-', '')}_{seen + place}",
            "type": "function",
            "function": {
                "name": call.function.name,
                "arguments": _ENCODE(call.function.arguments or {}).decode(),
            },
        }
        for place, call in enumerate(calls)
    ]


def _finish_reason(done_reason: str | None, *, called: bool) -> str:
    if called:
        return "tool_calls"
    return "length" if done_reason == "length" else "stop"


def _usage_block(tokens: Tokens) -> dict[str, Any]:
    prompt = tokens.input + tokens.cached + tokens.cache_write
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens.output,
        "total_tokens": prompt + tokens.output,
    }


def _error(value: Any) -> Fail:
    return error_in_answer(VendorError(value if isinstance(value, str) else _ENCODE(value).decode()))


class StreamReader:
    """Reads one streamed answer."""

    def __init__(self, request: Completion, created: int) -> None:
        self._request = request
        self._lines = Lines()
        self._head: dict[str, Any] = {
            "id": _completion_id(request),
            "object": "chat.completion.chunk",
            "created": created,
            "model": request.model,
        }
        self._began = False
        self._content = False
        self._called = 0
        self._size = 0

    @property
    def alive(self) -> bool:
        """Whether content or reasoning came."""
        return self._size > 0

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes; see ``Reader``."""
        try:
            lines = self._lines.feed(data)
        except LineTooLarge:
            return [self._fail(malformed("the vendor sent a line of more than 1 MiB"))]
        return self._read(lines)

    def finish(self) -> list[Frame]:
        """Take the end of the connection; see ``Reader``."""
        frames = self._read(self._lines.end())
        if frames and isinstance(frames[-1], Tail | Fail):
            return frames
        if not self._began:
            return [malformed("the vendor ended the stream before it began")]
        return [*frames, self._fail(Fail(kind=FailureKind.CUT, message="the vendor's stream ended in the middle"))]

    def tokens(self) -> Tokens:
        """Return the tokens so far; see ``Reader``."""
        return settled(None, self._request.body, self._size, whole=False) if self._size else NO_TOKENS

    def _read(self, lines: list[bytes]) -> list[Frame]:
        events: list[bytes] = []
        for raw in lines:
            try:
                line = _DECODER.decode(raw)
            except UNREADABLE:
                return [*self._data(events), self._fail(malformed(_NOT_READ))]
            if line.error:
                return [*self._data(events), self._fail(_error(line.error))]
            events += self._chunks(line)
            if line.done:
                return self._end(line, events)
        return self._data(events)

    def _chunks(self, line: _Line) -> list[bytes]:
        events: list[bytes] = []
        if not self._began:
            self._began = True
            events.append(self._chunk({"role": "assistant", "content": ""}))
        message = line.message
        if message is None:
            return events
        delta: dict[str, Any] = {}
        if message.thinking:
            delta["reasoning_content"] = message.thinking
        if message.content:
            delta["content"] = message.content
        if message.tool_calls:
            delta["tool_calls"] = _calls(self._request, message.tool_calls, self._called, indexed=True)
            self._called += len(message.tool_calls)
        if delta:
            self._size += sum(len(str(value)) for value in delta.values())
            self._content = self._content or "content" in delta or "tool_calls" in delta
            events.append(self._chunk(delta))
        return events

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return encode_event(_ENCODE(self._head | {"choices": [choice]}))

    def _end(self, line: _Line, events: list[bytes]) -> list[Frame]:
        finish = _finish_reason(line.done_reason, called=self._called > 0)
        said = ollama_usage(line.prompt_eval_count, line.eval_count)
        if not self._content and finish != "length":
            return [self._fail(malformed("the vendor's answer holds no content"))]
        tokens = settled(said, self._request.body, self._size, whole=True)
        events.append(self._chunk({}, finish))
        if self._request.include_usage:
            events.append(encode_event(_ENCODE(self._head | {"choices": [], "usage": _usage_block(tokens)})))
        tail = Tail(tokens=tokens, answered=line.model, finish_reason=finish, closing=DONE)
        return [*self._data(events), tail]

    def _data(self, events: list[bytes]) -> list[Frame]:
        return [Data(b"".join(events), content=self._content)] if events else []

    def _fail(self, failure: Fail) -> Fail:
        return msgspec.structs.replace(failure, tokens=self.tokens())


def read_whole(request: Completion, created: int, body: bytes) -> list[Frame]:
    """Read a whole answer of status 200 (``created``: Unix seconds)."""
    try:
        line = _DECODER.decode(body)
    except UNREADABLE:
        return [malformed(_NOT_READ)]
    if line.error:
        return [_error(line.error)]
    message = line.message
    if message is None:
        return [malformed("the vendor's answer holds no message")]
    calls = _calls(request, message.tool_calls or [], 0, indexed=False)
    finish = _finish_reason(line.done_reason, called=bool(calls))
    if not (message.content or calls or finish == "length"):
        return [malformed("the vendor's answer holds no content")]
    size = len(message.content or "") + len(message.thinking or "") + sum(len(str(call)) for call in calls)
    said = ollama_usage(line.prompt_eval_count, line.eval_count)
    tokens = settled(said, request.body, size, whole=True)
    told: dict[str, Any] = {"role": "assistant", "content": message.content or (None if calls else "")}
    if message.thinking:
        told["reasoning_content"] = message.thinking
    if calls:
        told["tool_calls"] = calls
    answer = {
        "id": _completion_id(request),
        "object": "chat.completion",
        "created": created,
        "model": request.model,
        "choices": [{"index": 0, "message": told, "finish_reason": finish}],
        "usage": _usage_block(tokens),
    }
    return [Data(_ENCODE(answer), content=True), Tail(tokens=tokens, answered=line.model, finish_reason=finish)]
