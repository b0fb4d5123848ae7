"""Anthropic's messages on both sides: bytes go on untouched, read at the side.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import Json
from services.providers.domain.dialect import malformed
from services.providers.domain.dialects.anthropic_messages.usage import usage_of
from services.providers.domain.errors import UNREADABLE, error_in_answer, error_of
from services.providers.domain.side_reader import SideReader, not_read
from services.providers.domain.sse import event_data, split_events
from services.providers.domain.usage import settled
from shared.contracts.frames import Completion, Data, Fail, Frame, Tail
from shared.contracts.usage import Tokens

_OURS: Final = ("models",)
_MAY_BE_EMPTY: Final = ("max_tokens", "refusal", "pause_turn", "model_context_window_exceeded")
_THOUGHTS: Final = ("thinking", "redacted_thinking")


class _Delta(msgspec.Struct, gc=False):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: Any = None
    stop_reason: Any = None


class _Block(msgspec.Struct, gc=False):
    type: Any = None
    text: Any = None
    thinking: Any = None
    input: Any = None


class _Message(msgspec.Struct, gc=False):
    model: Any = None
    usage: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: Any = None
    error: Any = None


class _Answer(msgspec.Struct, gc=False):
    type: Any = None
    model: Any = None
    content: list[_Block] | None = None
    stop_reason: Any = None
    usage: Any = None
    error: Any = None


_EVENT: Final = msgspec.json.Decoder(_Event).decode
_ANSWER: Final = msgspec.json.Decoder(_Answer).decode
_PLAIN: Final = b"event: content_block_delta\ndata: {"


def request_body(request: Completion, quirks: frozenset[str]) -> Json:
    """Return the client's body with the vendor's model, LocalRouter's own fields gone; the dialect has no quirks."""
    del quirks
    body = {**request.body, "model": request.native_id}
    for name in _OURS:
        body.pop(name, None)
    return body


class StreamReader(SideReader):
    """Reads one streamed answer; see ``Reader``."""

    __slots__ = ("_finish", "_usage")

    def __init__(self, request: Completion) -> None:
        super().__init__(request)
        self._usage: Json = {}
        self._finish: str | None = None

    def tokens(self) -> Tokens:
        """Return the tokens so far: the output is counted at the end alone."""
        said = self._said()
        if said is None or self._finish is not None:
            return super().tokens()
        said = msgspec.structs.replace(said, output=0, source="partial")
        return settled(said, self._request.body, self._size, whole=False)

    def _read(self, whole: bytes) -> list[Frame]:
        events = split_events(whole)
        for place, raw in enumerate(events):
            data = raw[33:-2] if raw.startswith(_PLAIN) and raw.count(b"\n", 33) == 2 else event_data(raw)
            if not data:
                continue
            try:
                event = _EVENT(data)
            except UNREADABLE:
                return [*self._passed(events[:place]), self._fail(not_read(data))]
            if event.type == "message_stop":
                return [*self._passed(events[:place]), self._end(raw)]
            if event.type == "error" or (not event.type and event.error):
                failure = error_in_answer(error_of(event.error or msgspec.json.decode(data)))
                return [*self._passed(events[:place]), self._fail(failure)]
            self._take(event)
        return [Data(whole, content=self._content)]

    def _take(self, event: _Event) -> None:
        delta = event.delta
        if event.type == "content_block_delta":
            if delta is not None:
                told = delta.text or delta.partial_json
                if told:
                    self._content = True
                    self._size += len(told)
                else:
                    self._size += len(delta.thinking or "") or (1 if delta.signature else 0)
        elif event.type == "content_block_start":
            held, thought = _weight(event.content_block)
            self._size += held + thought
            self._content = self._content or held > 0
        elif event.type == "message_start":
            self._began = True
            if event.message is not None:
                self._answered = event.message.model if isinstance(event.message.model, str) else None
                self._note(event.message.usage)
        elif event.type == "message_delta":
            self._note(event.usage)
            if delta is not None and isinstance(delta.stop_reason, str):
                self._finish = delta.stop_reason

    def _note(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in cast("Json", usage).items() if value is not None}

    def _is_over(self) -> bool:
        return self._finish is not None

    def _said(self) -> Tokens | None:
        return usage_of(self._usage)

    def _end(self, closing: bytes = b"") -> Tail | Fail:
        if not self._content and self._finish not in _MAY_BE_EMPTY:
            return self._fail(malformed("the vendor's answer holds no content"))
        return self._whole(self._finish, closing)


def _weight(block: _Block | None) -> tuple[int, int]:
    """Return how many bytes of content and of reasoning a block holds, about; a call or an own tool's is content."""
    if block is None:
        return 0, 0
    if block.type in _THOUGHTS:
        return 0, len(block.thinking) if isinstance(block.thinking, str) and block.thinking else 1
    if block.type == "text":
        return len(block.text) if isinstance(block.text, str) else 0, 0
    return 1 + (len(msgspec.json.encode(block.input)) if block.input else 0), 0


def read_whole(request: Completion, body: bytes) -> list[Frame]:
    """Read a whole answer of status 200: its bytes and the tail, or the failure that it is."""
    try:
        answer = _ANSWER(body)
    except UNREADABLE:
        return [not_read(body)]
    if answer.type == "error" or answer.error or answer.content is None:
        return [not_read(body)]
    weights = [_weight(block) for block in answer.content]
    content = sum(held for held, _ in weights)
    finish = answer.stop_reason if isinstance(answer.stop_reason, str) else None
    if not content and finish not in _MAY_BE_EMPTY:
        return [malformed("the vendor's answer holds no content")]
    size = content + sum(thought for _, thought in weights)
    tail = Tail(
        tokens=settled(usage_of(answer.usage), request.body, size, whole=True),
        answered=answer.model if isinstance(answer.model, str) else None,
        finish_reason=finish,
    )
    return [Data(body, content=True), tail]
