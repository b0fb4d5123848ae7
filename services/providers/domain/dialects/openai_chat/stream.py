"""A vendor's stream of OpenAI's chat, read into deltas.

https://platform.openai.com/docs/api-reference/chat-streaming/streaming
"""

from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import (
    Begin,
    CallDelta,
    Citation,
    CitationDelta,
    Counted,
    Delta,
    Ended,
    Failed,
    Finished,
    Json,
    Media,
    MediaDelta,
    RefusalDelta,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
)
from services.providers.domain.dialects.openai_chat.answer import arguments_of, finish_of, media_of, spoken
from services.providers.domain.dialects.openai_chat.content import citation_of, searched
from services.providers.domain.dialects.openai_chat.request import call_signature
from services.providers.domain.dialects.openai_chat.thoughts import details_of
from services.providers.domain.errors import read_error
from services.providers.domain.usage import openai_usage


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None
    images: Any = None
    annotations: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    extra_content: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: Any = None
    logprobs: Any = None


class _Chunk(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    service_tier: Any = None
    x_groq: Any = None
    citations: Any = None
    search_results: Any = None


_DECODE: Final = msgspec.json.Decoder(_Chunk).decode
_PLAIN: Final = msgspec.json.Decoder().decode


class _Call:
    """A call that has begun."""

    __slots__ = ("empty", "id", "part")

    def __init__(self, part: int, identity: str) -> None:
        self.part = part
        self.id = identity
        self.empty = True


class _Open:
    """One choice, and which of its parts are open."""

    __slots__ = ("calls", "cited", "count", "finished", "key", "part", "refused", "text", "told")

    def __init__(self) -> None:
        self.key: object = None
        self.part = -1
        self.count = 0
        self.text = -1
        self.calls: dict[object, _Call] = {}
        self.told: list[_Call] = []
        self.refused = False
        self.cited = False
        self.finished = False

    def to(self, key: object) -> int:
        """Return the number of the part that ``key`` tells from others, a new one where another was open."""
        if key != self.key:
            self.key = key
            self.part = self.count
            self.count += 1
        return self.part


class Decoder:
    """Reads one stream; see ``StreamDecoder``."""

    __slots__ = ("_began", "_choices")

    def __init__(self) -> None:
        self._began = False
        self._choices: dict[int, _Open] = {}

    def feed(self, event: str, data: bytes) -> list[Delta]:
        """Take one event."""
        if data.startswith(b"[DONE]"):
            return self._ended()
        chunk = _DECODE(data)
        choices = chunk.choices
        if chunk.error or choices is None:
            parsed = _PLAIN(data)
            if event == "error" or read_error(parsed) is not None:
                return [Failed(parsed)]
        out: list[Delta] = []
        if not self._began and (choices or chunk.id):
            self._began = True
            out.append(Begin(id=_text(chunk.id), model=_text(chunk.model), service_tier=_text(chunk.service_tier)))
        for choice in choices or ():
            index = choice.index if type(choice.index) is int else 0
            held = self._choices.get(index)
            if held is None:
                held = self._choices[index] = _Open()
            self._choice(choice, index, held, chunk, out)
        said = chunk.usage
        if said is None and isinstance(chunk.x_groq, dict):
            said = cast("Json", chunk.x_groq).get("usage")
        if said is not None and (tokens := openai_usage(said)) is not None:
            out.append(Counted(tokens))
        return out

    def _choice(self, choice: _Choice, index: int, held: _Open, chunk: _Chunk, out: list[Delta]) -> None:
        delta = choice.delta or choice.message
        if delta is not None:
            if delta.reasoning_details or delta.reasoning_content or delta.reasoning:
                _think(delta, index, held, out)
            if delta.content or choice.logprobs:
                _speak(delta.content, index, held, choice.logprobs, out)
            if delta.tool_calls or delta.function_call:
                _call(delta, index, held, out)
            if delta.refusal and isinstance(delta.refusal, str):
                held.refused = True
                out.append(RefusalDelta(held.to("refusal"), delta.refusal, index))
            if delta.annotations or delta.audio or delta.images or delta.extra_content:
                _more(delta, index, held, out)
        if (chunk.search_results or chunk.citations) and not held.cited and held.text >= 0:
            held.cited = True
            sources = searched({"search_results": chunk.search_results, "citations": chunk.citations})
            out += [CitationDelta(held.text, source, index) for source in sources]
        reason = choice.finish_reason
        if reason and isinstance(reason, str) and not held.finished:
            _finish(reason, index, held, out)

    def _ended(self) -> list[Delta]:
        """Return the end; a vendor that never said why a choice ended was done with it."""
        out: list[Delta] = []
        for index, held in self._choices.items():
            if not held.finished:
                _finish("stop", index, held, out)
        out.append(Ended())
        return out


def _finish(reason: str, index: int, held: _Open, out: list[Delta]) -> None:
    held.finished = True
    out += [CallDelta(call.part, "{}", choice=index) for call in held.told if call.empty]
    out.append(Finished(finish_of(reason, called=bool(held.told), refused=held.refused), index))


def _think(delta: _Delta, index: int, held: _Open, out: list[Delta]) -> None:
    said = False
    for key, part in details_of(delta.reasoning_details):
        said = said or bool(part.text)
        out.append(_thought(part, held.to(key), index))
    text = delta.reasoning_content or delta.reasoning
    if not said and isinstance(text, str) and text:
        going_on = isinstance(held.key, tuple)
        out.append(ThinkingDelta(held.part if going_on else held.to("thinking"), text, index))


def _thought(part: Thinking, number: int, index: int) -> ThinkingDelta:
    return ThinkingDelta(number, part.text, index, part.signature, part.redacted, part.summary, part.id)


def _speak(content: Any, index: int, held: _Open, logprobs: Any, out: list[Delta]) -> None:
    told = cast("Json", logprobs) if isinstance(logprobs, dict) else {}
    chances = told if any(told.values()) else None
    if isinstance(content, list):
        for part in spoken(cast("object", content)):
            match part:
                case Text(text=text):
                    held.text = held.to("text")
                    out.append(TextDelta(held.text, text, index))
                case Thinking():
                    out.append(_thought(part, held.to("thinking"), index))
                case Media():
                    out.append(MediaDelta(held.to(object()), part, index))
                case _:
                    pass
    elif (isinstance(content, str) and content) or chances is not None:
        held.text = held.to("text")
        out.append(TextDelta(held.text, content if isinstance(content, str) else "", index, chances))


def _call(delta: _Delta, index: int, held: _Open, out: list[Delta]) -> None:
    """Read pieces of calls: told apart by index, and by id where a vendor numbers all of them 0 or none."""
    pieces = cast("list[object]", delta.tool_calls) if isinstance(delta.tool_calls, list) else []
    if isinstance(delta.function_call, dict):
        pieces = [*pieces, {"index": "function_call", "function": cast("object", delta.function_call)}]
    for place, raw in enumerate(pieces):
        piece = cast("Json", raw) if isinstance(raw, dict) else {}
        given = piece.get("function")
        function = cast("Json", given) if isinstance(given, dict) else {}
        name, identity = _text(function.get("name")), _text(piece.get("id"))
        key = piece["index"] if piece.get("index") is not None else ("place", place)
        call = held.calls.get(key)
        if name is not None and (call is None or (identity is not None and identity != call.id)):
            call = held.calls[key] = _Call(held.to(object()), identity or f"call_{len(held.told)}")
            held.told.append(call)
            out.append(CallDelta(call.part, "", call.id, name, index, call_signature(piece)))
        arguments = arguments_of(function.get("arguments"))
        if call is not None and arguments:
            call.empty = False
            out.append(CallDelta(call.part, arguments, choice=index))


def _more(delta: _Delta, index: int, held: _Open, out: list[Delta]) -> None:
    """Read what comes seldom: sources, sounds, images, the signature of a text."""
    notes = cast("list[object]", delta.annotations) if isinstance(delta.annotations, list) else []
    for source in (citation_of(note) for note in notes):
        if isinstance(source, Citation):
            if held.text < 0:
                held.text = held.to("text")
            out.append(CitationDelta(held.text, source, index))
    out += [
        MediaDelta(held.to("audio" if media.kind == "audio" else object()), media, index)
        for media in media_of({"audio": delta.audio, "images": delta.images})
    ]
    proof = call_signature({"extra_content": delta.extra_content})
    if proof is not None:
        held.text = held.to("text")
        out.append(TextDelta(held.text, "", index, None, proof))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
