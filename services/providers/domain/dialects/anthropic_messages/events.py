"""A client's stream of Anthropic's messages, written event after event: one block at a time, in their order.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from typing import Final

import msgspec

from services.providers.domain.canonical import (
    CallDelta,
    CitationDelta,
    Counted,
    Delta,
    Finish,
    Finished,
    Json,
    MediaDelta,
    OpaqueDelta,
    RefusalDelta,
    Signature,
    TextDelta,
    Thinking,
    ThinkingDelta,
    carried,
)
from services.providers.domain.dialect import Asked
from services.providers.domain.dialects.anthropic_messages.answer import (
    citation_block,
    media_text,
    reason_of,
    thinking_block,
)
from services.providers.domain.dialects.anthropic_messages.blocks import NAME, proof_block
from services.providers.domain.dialects.anthropic_messages.turns import tool_id
from services.providers.domain.dialects.anthropic_messages.usage import usage_block
from shared.contracts.usage import NO_TOKENS, Tokens

_ENCODE: Final = msgspec.json.Encoder().encode
_NO_TEXT: Final[Json] = {"type": "text", "text": "", "citations": None}
_NO_THOUGHT: Final[Json] = {"type": "thinking", "thinking": "", "signature": ""}
_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class Encoder:
    """Writes one stream. Of several answers the first, as clients of this dialect cannot ask for more."""

    __slots__ = ("_asked", "_began", "_calls", "_finish", "_head", "_index", "_kind", "_part", "_proof", "_tokens")

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._began = False
        self._index = -1
        """Of the block that was begun last."""
        self._kind = ""
        """Of the open block: ``text``, ``thinking``, ``tool_use``; empty: none is open."""
        self._part = -1
        """The part that the open block holds."""
        self._head = b""
        """How an event of more of the open block begins."""
        self._calls: dict[int, int] = {}
        """The block of each call, by its part: a vendor may write two at once."""
        self._proof: Signature | None = None
        """A proof of the open block, which has no place in it."""
        self._finish = Finished(Finish.STOP)
        self._tokens = NO_TOKENS

    def encode(self, delta: Delta) -> bytes:
        """Return the events of a delta; see ``StreamEncoder``."""
        if type(delta) is TextDelta:
            return self._text(delta.part, delta.text, delta.signature) if not delta.choice else b""
        if type(delta) is CallDelta:
            return self._call(delta) if not delta.choice else b""
        if type(delta) is ThinkingDelta:
            return self._thought(delta) if not delta.choice else b""
        return self._rare(delta)

    def end(self, tokens: Tokens) -> tuple[bytes, bytes]:
        """Return the last events and the end mark; see ``StreamEncoder``."""
        finish = self._finish
        delta = {"stop_reason": reason_of(finish.reason, finish.stop_sequence), "stop_sequence": finish.stop_sequence}
        ending = {"type": "message_delta", "delta": delta, "usage": usage_block(tokens)}
        return self._start() + self._close() + _event(b"message_delta", ending), _STOP

    def _rare(self, delta: Delta) -> bytes:
        match delta:
            case Counted(tokens):
                self._tokens = tokens
                return b""
            case Finished(choice=0):
                self._finish = delta
                return b""
            case RefusalDelta(choice=0):
                return self._text(delta.part, delta.text, None)
            case CitationDelta(choice=0):
                begun = self._open("text", delta.part, _NO_TEXT)
                citation = {"type": "citations_delta", "citation": citation_block(delta.citation)}
                told = {"type": "content_block_delta", "index": self._index, "delta": citation}
                return begun + _event(b"content_block_delta", told)
            case MediaDelta(choice=0):
                return self._text(delta.part, media_text(delta.media), None)
            case OpaqueDelta(choice=0):
                return self._whole(delta.opaque.raw) if delta.opaque.dialect == NAME else b""
            case _:
                return b""

    def _text(self, part: int, text: str, proof: Signature | None) -> bytes:
        if proof is not None and not (text or self._kind):
            return self._start() + self._whole(proof_block(proof))
        begun = b""
        if text:
            begun = self._open("text", part, _NO_TEXT)
            begun += self._head + b'{"type":"text_delta","text":' + _ENCODE(text) + b"}}\n\n"
        self._proof = proof or self._proof
        return begun

    def _thought(self, delta: ThinkingDelta) -> bytes:
        if delta.redacted:
            return self._whole(thinking_block(Thinking(signature=delta.signature, redacted=True)))
        told = self._open("thinking", delta.part, _NO_THOUGHT)
        if delta.text:
            told += self._head + b'{"type":"thinking_delta","thinking":' + _ENCODE(delta.text) + b"}}\n\n"
        if delta.signature is not None:
            proof = _ENCODE(carried(delta.signature, NAME))
            told += self._head + b'{"type":"signature_delta","signature":' + proof + b"}}\n\n"
        return told

    def _call(self, delta: CallDelta) -> bytes:
        known = self._calls.get(delta.part)
        if known is None:
            block: Json = {"type": "tool_use", "id": tool_id(delta.id or ""), "name": delta.name or "", "input": {}}
            told = self._open("tool_use", delta.part, block)
            self._calls[delta.part] = self._index
            head = self._head
        else:
            told, head = b"", self._head if known == self._index else _head(known)
        self._proof = delta.signature or self._proof
        if not delta.arguments:
            return told
        return told + head + b'{"type":"input_json_delta","partial_json":' + _ENCODE(delta.arguments) + b"}}\n\n"

    def _open(self, kind: str, part: int, block: Json) -> bytes:
        """Begin a block, unless the open one holds the same part; the one before ends."""
        if self._part == part and self._kind == kind:
            return b""
        begun = self._start() + self._close()
        self._index += 1
        self._kind, self._part, self._head = kind, part, _head(self._index)
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return begun + _event(b"content_block_start", start)

    def _whole(self, block: Json) -> bytes:
        return self._open("whole", -1, block) + self._close()

    def _close(self) -> bytes:
        if not self._kind:
            return b""
        self._kind = ""
        proof, self._proof = self._proof, None
        ended = _event(b"content_block_stop", {"type": "content_block_stop", "index": self._index})
        return ended if proof is None else ended + self._whole(proof_block(proof))

    def _start(self) -> bytes:
        if self._began:
            return b""
        self._began = True
        message: Json = {
            "id": f"msg_{self._asked.id}",
            "type": "message",
            "role": "assistant",
            "model": self._asked.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_block(self._tokens),
        }
        return _event(b"message_start", {"type": "message_start", "message": message})


def _head(index: int) -> bytes:
    return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % index


def _event(name: bytes, data: Json) -> bytes:
    return b"event: " + name + b"\ndata: " + _ENCODE(data) + b"\n\n"
