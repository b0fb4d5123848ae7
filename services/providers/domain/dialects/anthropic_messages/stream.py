"""Streams of Anthropic's, read into the canonical form.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import (
    Begin,
    CallDelta,
    CitationDelta,
    Counted,
    Delta,
    Ended,
    Failed,
    Finished,
    Json,
    Opaque,
    OpaqueDelta,
    TextDelta,
    ThinkingDelta,
    uncarried,
)
from services.providers.domain.dialect import Malformed
from services.providers.domain.dialects.anthropic_messages.answer import finish_of
from services.providers.domain.dialects.anthropic_messages.blocks import NAME, citation_of, citations_of
from services.providers.domain.dialects.anthropic_messages.usage import usage_of


class _Delta(msgspec.Struct, gc=False):
    type: Any = None
    text: Any = None
    thinking: Any = None
    signature: Any = None
    partial_json: Any = None
    citation: Any = None
    stop_reason: Any = None
    stop_sequence: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    delta: _Delta | None = None
    content_block: Any = None
    message: Any = None
    usage: Any = None
    error: Any = None


_DECODE: Final = msgspec.json.Decoder(_Event).decode
_ENCODE: Final = msgspec.json.Encoder().encode
_PARSE: Final = msgspec.json.Decoder().decode


class Decoder:
    """Reads one stream; the usage of later events replaces, field by field, that of earlier ones."""

    __slots__ = ("_calls", "_opaque", "_usage")

    def __init__(self) -> None:
        self._usage: Json = {}
        self._calls: dict[int, str] = {}
        """The arguments of calls that began and of which none came yet."""
        self._opaque: dict[int, tuple[Json, list[str]]] = {}
        """Blocks that only this dialect knows, with the pieces of their input."""

    def feed(self, event: str, data: bytes) -> Iterable[Delta]:
        """Take one event; see ``StreamDecoder``."""
        found = _DECODE(data)
        match found.type:
            case "content_block_delta":
                return self._more(found.index, found.delta)
            case "content_block_start":
                return self._start(found.index, found.content_block)
            case "content_block_stop":
                return self._stop(found.index)
            case "message_start":
                return self._begin(found.message)
            case "message_delta":
                return self._ending(found)
            case "message_stop":
                return (Ended(),)
            case "error":
                return (Failed(found.error or _PARSE(data)),)
            case "":
                raise Malformed(f"an event of the vendor's has no type: {event[:40]!r}")
            case _:
                return ()

    def _begin(self, message: Any) -> Iterable[Delta]:
        fields = cast("Json", message) if isinstance(message, dict) else {}
        identity, model = fields.get("id"), fields.get("model")
        tier = self._note(fields.get("usage")).get("service_tier")
        yield Begin(
            id=identity if isinstance(identity, str) else None,
            model=model if isinstance(model, str) else None,
            service_tier=tier if isinstance(tier, str) else None,
        )
        tokens = usage_of(self._usage)
        if tokens is not None:  # what is answered is only counted at the end
            yield Counted(msgspec.structs.replace(tokens, output=0, reasoning=0, source="partial"))

    def _note(self, usage: Any) -> Json:
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in cast("Json", usage).items() if value is not None}
        return self._usage

    def _counted(self) -> Iterable[Delta]:
        tokens = usage_of(self._usage)
        return () if tokens is None else (Counted(tokens),)

    def _ending(self, event: _Event) -> Iterable[Delta]:
        self._note(event.usage)
        yield from self._counted()
        delta = event.delta
        if delta is not None and isinstance(delta.stop_reason, str):
            sequence = delta.stop_sequence
            yield Finished(finish_of(delta.stop_reason), stop_sequence=sequence if isinstance(sequence, str) else None)

    def _start(self, index: int, given: Any) -> Iterable[Delta]:
        if not isinstance(given, dict):
            raise Malformed("a block of the vendor's stream is no object")
        block = cast("Json", given)
        match block.get("type"):
            case "text":
                if block.get("text"):
                    yield TextDelta(index, str(block["text"]))
                for citation in citations_of(block.get("citations")):
                    yield CitationDelta(index, citation)
            case "thinking":
                text, proof = block.get("thinking") or "", block.get("signature") or ""
                if text or proof:
                    yield ThinkingDelta(index, str(text), signature=uncarried(str(proof), NAME) if proof else None)
            case "redacted_thinking":
                yield ThinkingDelta(index, signature=uncarried(str(block.get("data") or ""), NAME), redacted=True)
            case "tool_use":
                self._calls[index] = _ENCODE(block.get("input") or {}).decode()
                yield CallDelta(index, id=str(block.get("id") or ""), name=str(block.get("name") or ""))
            case str():
                self._opaque[index] = (block, [])
            case _:
                raise Malformed("a block of the vendor's stream has no type")

    def _more(self, index: int, delta: _Delta | None) -> Iterable[Delta]:
        if delta is None:
            return ()
        match delta.type:
            case "text_delta" if isinstance(delta.text, str):
                return (TextDelta(index, delta.text),)
            case "input_json_delta" if isinstance(delta.partial_json, str):
                held = self._opaque.get(index)
                if held is not None:
                    held[1].append(delta.partial_json)
                    return ()
                if not delta.partial_json:
                    return ()
                self._calls.pop(index, None)
                return (CallDelta(index, delta.partial_json),)
            case "thinking_delta" if isinstance(delta.thinking, str):
                return (ThinkingDelta(index, delta.thinking),)
            case "signature_delta" if isinstance(delta.signature, str):
                return (ThinkingDelta(index, signature=uncarried(delta.signature, NAME)),)
            case "citations_delta" if isinstance(delta.citation, dict):
                return (CitationDelta(index, citation_of(cast("Json", delta.citation))),)
            case _:
                return ()

    def _stop(self, index: int) -> Iterable[Delta]:
        arguments = self._calls.pop(index, None)
        if arguments is not None:
            return (CallDelta(index, arguments),)
        held = self._opaque.pop(index, None)
        if held is None:
            return ()
        block, pieces = held
        said = "".join(pieces)
        if said:
            block = {**block, "input": _PARSE(said)}
        return (OpaqueDelta(index, Opaque(dialect=NAME, raw=block)),)
