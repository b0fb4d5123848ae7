"""Ollama's streams: lines of JSON, read from a vendor, written for clients of chat and of generate."""

from typing import Final, NamedTuple

from services.providers.domain.canonical import (
    Begin,
    CallDelta,
    Counted,
    Delta,
    Ended,
    Failed,
    Finish,
    Finished,
    Media,
    MediaDelta,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCall,
)
from services.providers.domain.dialect import Asked
from services.providers.domain.dialects.ollama.answer import (
    arguments_of,
    call_id,
    counts,
    head,
    logprobs_of,
    ollama_logprobs,
    told_call,
)
from services.providers.domain.dialects.ollama.wire import ENCODE, LINE, Line, done_reason_of, finish_of
from services.providers.domain.usage import ollama_usage
from shared.contracts.usage import Tokens


class StreamDecoder:
    """Reads one stream of ``/api/chat`` or ``/api/generate``. Ollama sends calls whole and does not say at the end
    that there were some: they are remembered."""

    __slots__ = ("_began", "_called", "_kind", "_part")

    def __init__(self) -> None:
        self._began = False
        self._called = 0
        self._kind: type[Delta] | None = None
        self._part = -1

    def feed(self, event: str, data: bytes) -> list[Delta]:
        """Take a line; see ``StreamDecoder``."""
        line = LINE.decode(data)
        if line.error:
            return [Failed(line.error)]
        deltas: list[Delta] = []
        if not self._began:
            self._began = True
            deltas.append(Begin(model=line.model))
        message = line.message
        if message is None:
            message = line.said()
        if message is not None:
            if message.thinking:
                deltas.append(ThinkingDelta(self._place(ThinkingDelta), message.thinking))
            if message.content:
                logprobs = None if line.logprobs is None else logprobs_of(line.logprobs)
                deltas.append(TextDelta(self._place(TextDelta), message.content, logprobs=logprobs))
            if message.images:
                images = [Media(kind="image", data=image) for image in message.images]
                deltas += [MediaDelta(self._new(MediaDelta), image) for image in images]
            if message.tool_calls:
                deltas += self._calls(line)
        if line.done:
            deltas += self._end(line)
        return deltas

    def _place(self, kind: type[Delta]) -> int:
        """Return the number of the part that is going on, or of a new one."""
        return self._part if self._kind is kind else self._new(kind)

    def _new(self, kind: type[Delta]) -> int:
        self._kind = kind
        self._part += 1
        return self._part

    def _calls(self, line: Line) -> list[Delta]:
        found: list[Delta] = []
        for call in (line.message and line.message.tool_calls) or ():
            found.append(
                CallDelta(
                    self._new(CallDelta),
                    arguments_of(call),
                    id=call_id(call, line, self._called),
                    name=call.function.name,
                )
            )
            self._called += 1
        return found

    def _end(self, line: Line) -> list[Delta]:
        tokens = ollama_usage(line.prompt_eval_count, line.eval_count)
        counted: list[Delta] = [] if tokens is None else [Counted(tokens)]
        return [*counted, Finished(finish_of(line.done_reason, called=self._called > 0)), Ended()]


class _Form(NamedTuple):
    """Where words stand in a line."""

    text: bytes
    thinking: bytes
    more: bytes | None
    """What comes before images or calls; None: there are none."""
    close: bytes


_CHAT: Final = _Form(
    b'"message":{"role":"assistant","content":',
    b'"message":{"role":"assistant","content":"","thinking":',
    b'"message":{"role":"assistant","content":"",',
    b"}",
)
_GENERATE: Final = _Form(b'"response":', b'"response":"","thinking":', None, b"")
_GOES_ON: Final = b',"done":false}\n'


class StreamEncoder:
    """Writes one stream: words go out at once, calls when they are whole, the reason and the counts at the end."""

    __slots__ = ("_after", "_calls", "_finish", "_form", "_head", "_text")

    def __init__(self, asked: Asked, form: _Form) -> None:
        self._form = form
        self._head = ENCODE(head(asked))[:-1] + b","
        self._text = self._head + form.text
        self._after = form.close + _GOES_ON
        self._calls: dict[int, ToolCall] = {}
        self._finish = Finish.STOP

    def encode(self, delta: Delta) -> bytes:
        """Return whole lines; see ``StreamEncoder``. Ollama has one answer: that of other choices is left out."""
        if getattr(delta, "choice", 0):
            return b""
        match delta:
            case TextDelta(text=text, logprobs=None) | RefusalDelta(text=text):
                return self._text + ENCODE(text) + self._after if text else b""
            case TextDelta(text=text, logprobs=logprobs):
                told = b',"logprobs":' + ENCODE(ollama_logprobs(logprobs) or [])
                return self._text + ENCODE(text) + self._form.close + told + _GOES_ON
            case ThinkingDelta(text=text):
                return self._head + self._form.thinking + ENCODE(text) + self._after if text else b""
            case MediaDelta(media=media):
                return self._media(media)
            case CallDelta():
                self._call(delta)
            case Finished(reason=reason):
                self._finish = reason
            case _:
                pass
        return b""

    def end(self, tokens: Tokens) -> tuple[bytes, bytes]:
        """Return the calls, and the last line; see ``StreamEncoder``."""
        told = {"done": True, "done_reason": done_reason_of(self._finish)} | counts(tokens)
        last = self._text + b'""' + self._form.close + b"," + ENCODE(told)[1:] + b"\n"
        return self._called(), last

    def _media(self, media: Media) -> bytes:
        if media.kind == "image" and media.data is not None:
            return self._more("images", [media.data])
        return self._text + ENCODE(media.transcript) + self._after if media.transcript else b""

    def _call(self, delta: CallDelta) -> None:
        held = self._calls.get(delta.part)
        self._calls[delta.part] = ToolCall(
            id=delta.id or (held.id if held else ""),
            name=delta.name or (held.name if held else ""),
            arguments=(held.arguments if held else "") + delta.arguments,
        )

    def _called(self) -> bytes:
        calls = [told_call(call, place) for place, call in enumerate(self._calls.values())]
        return self._more("tool_calls", calls) if calls else b""

    def _more(self, name: str, value: object) -> bytes:
        if self._form.more is None:
            return b""
        return self._head + self._form.more + b'"' + name.encode() + b'":' + ENCODE(value) + self._after


def chat_encoder(asked: Asked) -> StreamEncoder:
    """Return what writes a stream of ``/api/chat``."""
    return StreamEncoder(asked, _CHAT)


def generate_encoder(asked: Asked) -> StreamEncoder:
    """Return what writes a stream of ``/api/generate``."""
    return StreamEncoder(asked, _GENERATE)
