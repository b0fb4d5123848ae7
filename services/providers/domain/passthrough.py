"""The same dialect on both sides: the vendor's bytes go on untouched, and what passes is read at the side.

Every event is parsed by types that skip what they do not name (a third of a microsecond), so a broken one is found
where it stands. What is withheld from a stream: the chunk of usage alone when the client did not ask for it, and the
``[DONE]``, which is the tail's.
"""

from typing import Any, Final, cast

import msgspec

from services.providers.domain.dialect import malformed
from services.providers.domain.errors import UNREADABLE, error_in_answer, read_error
from services.providers.domain.side_reader import SideReader, not_read
from services.providers.domain.sse import DONE, event_data, split_events
from services.providers.domain.usage import openai_usage, settled
from shared.contracts.frames import Completion, Data, Fail, Frame, Tail
from shared.contracts.usage import Tokens


class _Part(msgspec.Struct, gc=False):
    """A delta or a whole message; any of it may be null."""

    content: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None
    reasoning_content: Any = None
    reasoning: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Part | None = None
    message: _Part | None = None
    text: Any = None
    finish_reason: Any = None


class _Answer(msgspec.Struct, gc=False):
    model: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None


_OURS: Final = ("models",)
"""Fields of LocalRouter's own."""


def openai_body(request: Completion, quirks: frozenset[str]) -> dict[str, Any]:
    """Return the client's body with the vendor's model, usage asked for in streams, LocalRouter's own fields gone.

    Quirks: ``no stream_options`` (the vendor counts unasked and refuses the field).
    """
    body = dict(request.body)
    body["model"] = request.native_id
    for name in _OURS:
        body.pop(name, None)
    usage = body.get("usage")
    if isinstance(usage, dict) and "include" in usage:
        del body["usage"]
    if not request.stream:
        body.pop("stream_options", None)
        return body
    body["stream"] = True
    given = body.pop("stream_options", None)
    if "no stream_options" not in quirks:
        options = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        body["stream_options"] = {**options, "include_usage": True}
    return body


_DECODER: Final = msgspec.json.Decoder(_Answer)
_BATCH: Final = msgspec.json.Decoder(list[_Answer])
_EMPTY_ENDINGS: Final = ("length", "content_filter")
"""Finish reasons with which an answer may be empty and still be one."""


class StreamReader(SideReader):
    """Reads one streamed answer of OpenAI's chat or completions."""

    __slots__ = ("_finish", "_usage")

    def __init__(self, request: Completion) -> None:
        super().__init__(request)
        self._usage: Tokens | None = None
        self._finish: str | None = None

    def _read(self, whole: bytes) -> list[Frame]:
        done = whole.endswith(DONE)
        body = whole[: -len(DONE)] if done else whole
        answers = _plain_answers(body)
        if answers is None:
            return self._read_each(whole)
        self._began = True
        shown = [self._take(answer) for answer in answers]
        if not all(shown):
            body = b"".join(event for event, show in zip(split_events(body), shown, strict=True) if show)
        frames: list[Frame] = [Data(body, content=self._content)] if body else []
        return [*frames, self._end()] if done else frames

    def _read_each(self, whole: bytes) -> list[Frame]:
        """Read events that hold more than plain chunks: errors, comments, names, odd line ends, broken ones."""
        events = split_events(whole)
        kept: list[bytes] = []
        for event in events:
            data = event_data(event)
            if data is None or not data:
                kept.append(event)
                continue
            if data.strip() == b"[DONE]":
                return [*self._passed(kept), self._end()]
            try:
                answer = _DECODER.decode(data)
            except UNREADABLE:
                return [*self._passed(kept), self._fail(not_read(data))]
            error = _error_in(answer, data)
            if error is not None:
                return [*self._passed(kept), self._fail(error)]
            self._began = True
            if self._take(answer):
                kept.append(event)
        if len(kept) == len(events):
            return [Data(whole, content=self._content)]
        return self._passed(kept)

    def _take(self, answer: _Answer) -> bool:
        """Note what a chunk says; return whether the client sees it."""
        choices = answer.choices
        if answer.usage is None and self._content and choices is not None and len(choices) == 1:
            choice = choices[0]
            delta = choice.delta
            if choice.finish_reason is None and delta is not None and type(delta.content) is str and delta.content:
                self._size += len(delta.content)
                return True
        if self._answered is None and isinstance(answer.model, str):
            self._answered = answer.model
        said = answer.usage
        if said is None and answer.x_groq is not None:
            said = cast("dict[str, Any]", answer.x_groq).get("usage") if isinstance(answer.x_groq, dict) else None
        if said is not None:
            self._usage = openai_usage(said) or self._usage
        if not choices:
            return self._request.include_usage or answer.usage is None
        for choice in choices:
            if isinstance(choice.finish_reason, str) and choice.finish_reason:
                self._finish = choice.finish_reason
            self._weigh(choice)
        return True

    def _weigh(self, choice: _Choice) -> None:
        if choice.text and isinstance(choice.text, str):
            self._size += len(choice.text)
            self._content = True
        part = choice.delta or choice.message
        if part is None:
            return
        content, reasoning = weight(part)
        self._size += content + reasoning
        self._content = self._content or bool(content)

    def _is_over(self) -> bool:
        return self._finish is not None

    def _said(self) -> Tokens | None:
        return self._usage

    def _end(self, closing: bytes = DONE) -> Tail | Fail:
        if not self._content and not _may_be_empty(self._request, self._finish):
            return self._fail(malformed("the vendor's answer holds no content"))
        return self._whole(self._finish, closing)


def _plain_answers(body: bytes) -> list[_Answer] | None:
    """Return the chunks of events that are one line of ``data: {…}`` each, decoded at once; None: they are not."""
    if not body.startswith(b"data: {") or not body.endswith(b"}\n\n") or b'"error"' in body or b"\r" in body:
        return None
    if body.count(b"\n") != 2 * body.count(b"\n\ndata: {") + 2:
        return None
    try:
        answers = _BATCH.decode(b"[" + body[6:-2].replace(b"\n\ndata: ", b",") + b"]")
    except UNREADABLE:
        return None
    return None if any(answer.choices is None for answer in answers) else answers


def weight(part: _Part) -> tuple[int, int]:
    """Return how many bytes of content and of reasoning a delta or message holds, about; 0: none."""
    content = 0
    reasoning = sum(len(text) for text in (part.reasoning_content, part.reasoning) if isinstance(text, str))
    if isinstance(part.content, str):
        content = len(part.content)
    elif isinstance(part.content, list):
        for block in cast("list[Any]", part.content):
            size = len(msgspec.json.encode(block))
            if isinstance(block, dict) and cast("dict[str, Any]", block).get("type") == "thinking":
                reasoning += size
            else:
                content += size
    for other in (part.refusal, part.tool_calls, part.function_call, part.audio):
        if other:
            content += len(msgspec.json.encode(other))
    return content, reasoning


def read_whole(request: Completion, body: bytes) -> list[Frame]:
    """Read a whole answer of status 200: its bytes and the tail, or the failure that it is."""
    try:
        answer = _DECODER.decode(body)
    except UNREADABLE:
        return [not_read(body)]
    error = _error_in(answer, body)
    if error is not None:
        return [error]
    if not answer.choices:
        return [malformed("the vendor's answer holds no choices")]
    size = 0
    content = False
    finish: str | None = None
    for choice in answer.choices:
        if isinstance(choice.finish_reason, str):
            finish = finish or choice.finish_reason
        held, reasoning = weight(choice.message) if choice.message else (0, 0)
        if isinstance(choice.text, str):
            held += len(choice.text)
        size += held + reasoning
        content = content or bool(held)
    if not content and not _may_be_empty(request, finish):
        return [malformed("the vendor's answer holds no content")]
    tail = Tail(
        tokens=settled(openai_usage(answer.usage), request.body, size, whole=True),
        answered=answer.model if isinstance(answer.model, str) else None,
        finish_reason=finish,
    )
    return [Data(body, content=True), tail]


def _may_be_empty(request: Completion, finish: str | None) -> bool:
    """Whether an answer without content is one: it was cut off at once, or a prompt that needs no completion."""
    return finish in _EMPTY_ENDINGS or (request.dialect == "openai_completions" and finish is not None)


def _error_in(answer: _Answer, raw: bytes) -> Fail | None:
    """Return the failure that an answer or a chunk of one holds, in whatever shape the vendor gives it."""
    if not answer.error and answer.choices is not None:
        return None
    try:
        error = read_error(msgspec.json.decode(raw))
    except UNREADABLE:  # what the typed reading skips is not checked to be UTF-8
        return malformed("the vendor's answer is not JSON of this dialect")
    return None if error is None else error_in_answer(error)
