"""A client's stream of OpenAI's chat, written from deltas.

https://platform.openai.com/docs/api-reference/chat-streaming/streaming
"""

from typing import Final

import msgspec

from services.providers.domain.canonical import (
    Begin,
    CallDelta,
    CitationDelta,
    Delta,
    Finish,
    Finished,
    Json,
    MediaDelta,
    OpaqueDelta,
    RefusalDelta,
    TextDelta,
    Thinking,
    ThinkingDelta,
)
from services.providers.domain.dialect import Asked
from services.providers.domain.dialects.openai_chat.answer import FUNCTION_CALL, TIERS, image_part, reason_of
from services.providers.domain.dialects.openai_chat.content import annotation
from services.providers.domain.dialects.openai_chat.functions import asks_for_functions
from services.providers.domain.dialects.openai_chat.thoughts import NAME, detail, shown
from services.providers.domain.sse import DONE, encode_event
from services.providers.domain.usage import openai_usage_block
from shared.contracts.usage import Tokens

_ENCODE: Final = msgspec.json.Encoder().encode
_OPEN: Final = b',"logprobs":null,"finish_reason":null}]}\n\n'


class _Choice:
    """What was written of one choice."""

    __slots__ = ("calls", "heads", "images", "notes", "offsets", "refused", "size", "text", "thoughts")

    def __init__(self, text: bytes, thoughts: bytes) -> None:
        self.text = text
        self.thoughts = thoughts
        self.calls: dict[int, int] = {}
        self.heads: dict[int, int] = {}
        self.offsets: dict[int, int] = {}
        self.size = 0
        self.notes = 0
        self.images = 0
        self.refused = False


class Encoder:
    """Writes one stream; see ``StreamEncoder``."""

    __slots__ = ("_asked", "_choices", "_functions", "_head")

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._choices: dict[int, _Choice] = {}
        self._functions = asks_for_functions(asked.body)
        self._head = self._begun(None)

    def encode(self, delta: Delta) -> bytes:
        """Return the chunk that a delta is, the role before the first of a choice."""
        match delta:
            case TextDelta():
                return self._spoken(delta)
            case ThinkingDelta():
                return self._thought(delta)
            case CallDelta():
                return self._called(delta)
            case Begin():
                self._head = self._begun(delta.service_tier)
                return self._choice(0)[1]
            case Finished():
                return self._finished(delta.choice, delta.reason)
            case RefusalDelta():
                held, role = self._choice(delta.choice)
                held.refused = True
                return role + self._chunk(delta.choice, {"refusal": delta.text})
            case CitationDelta():
                return self._cited(delta)
            case MediaDelta():
                return self._media(delta)
            case OpaqueDelta(opaque=opaque) if opaque.dialect == NAME:
                held, role = self._choice(delta.choice)
                place = held.calls.setdefault(delta.part, len(held.calls))
                return role + self._chunk(delta.choice, {"tool_calls": [{**opaque.raw, "index": place}]})
            case _:
                return b""

    def end(self, tokens: Tokens) -> tuple[bytes, bytes]:
        """Return the chunk of usage where the client asked for it, and the end mark."""
        if not self._asked.include_usage:
            return b"", DONE
        return self._head + b'],"usage":' + _ENCODE(openai_usage_block(tokens)) + b"}\n\n", DONE

    def _begun(self, service_tier: str | None) -> bytes:
        head: Json = {
            "id": "chatcmpl-" + self._asked.id,
            "object": "chat.completion.chunk",
            "created": self._asked.created,
            "model": self._asked.model,
        }
        if service_tier in TIERS:
            head["service_tier"] = service_tier
        return encode_event(_ENCODE(head))[:-3] + b',"choices":['

    def _choice(self, index: int) -> tuple[_Choice, bytes]:
        """Return a choice, and its role where it begins."""
        held = self._choices.get(index)
        if held is not None:
            return held, b""
        head = self._head + b'{"index":%d,"delta":{' % index
        held = self._choices[index] = _Choice(head + b'"content":', head + b'"reasoning_content":')
        return held, head + b'"role":"assistant","content":""}' + _OPEN

    def _chunk(self, index: int, delta: Json) -> bytes:
        return self._head + b'{"index":%d,"delta":' % index + _ENCODE(delta) + _OPEN

    def _finished(self, index: int, finish: Finish) -> bytes:
        held, role = self._choice(index)
        called = self._functions and finish is Finish.TOOL_CALLS
        reason = _ENCODE(FUNCTION_CALL if called else reason_of(finish, refused=held.refused))
        head = self._head + b'{"index":%d,"delta":{},"logprobs":null,"finish_reason":' % index
        return role + head + reason + b"}]}\n\n"

    def _cited(self, delta: CitationDelta) -> bytes:
        """Return a source; the official client puts lists together by ``index``."""
        held, role = self._choice(delta.choice)
        note = annotation(delta.citation, held.offsets.get(delta.part, 0))
        if note is None:
            return role
        held.notes += 1
        return role + self._chunk(delta.choice, {"annotations": [{"index": held.notes - 1, **note}]})

    def _spoken(self, delta: TextDelta) -> bytes:
        held, role = self._choice(delta.choice)
        if delta.part not in held.offsets:
            held.offsets[delta.part] = held.size
        held.size += len(delta.text)
        if delta.logprobs is None and delta.signature is None:
            return role + held.text + _ENCODE(delta.text) + b"}" + _OPEN
        told: Json = {"content": delta.text}
        if delta.signature is not None:
            told["extra_content"] = {"google": {"thought_signature": shown(delta.signature)[0]}}
        choice = {"index": delta.choice, "delta": told, "logprobs": delta.logprobs, "finish_reason": None}
        return role + self._head + _ENCODE(choice) + b"]}\n\n"

    def _thought(self, delta: ThinkingDelta) -> bytes:
        held, role = self._choice(delta.choice)
        place = held.heads.setdefault(delta.part, len(held.heads))
        part = Thinking(
            text=delta.text,
            signature=delta.signature,
            redacted=delta.redacted,
            summary=delta.summary,
            id=delta.id,
        )
        entry = b',"reasoning_details":[' + _ENCODE(detail(part, place)) + b"]}"
        if delta.text:
            return role + held.thoughts + _ENCODE(delta.text) + entry + _OPEN
        return role + self._head + b'{"index":%d,"delta":{' % delta.choice + entry[1:] + _OPEN

    def _called(self, delta: CallDelta) -> bytes:
        held, role = self._choice(delta.choice)
        place = held.calls.get(delta.part)
        if place is not None:
            call: Json = {"index": place, "function": {"arguments": delta.arguments}}
        else:
            place = held.calls[delta.part] = len(held.calls)
            call = {
                "index": place,
                "id": delta.id or f"call_{self._asked.id}_{place}",
                "type": "function",
                "function": {"name": delta.name or "", "arguments": delta.arguments},
            }
        if delta.signature is not None:
            call["extra_content"] = {"google": {"thought_signature": shown(delta.signature)[0]}}
        if self._functions and place == 0:
            return role + self._chunk(delta.choice, {"function_call": call["function"]})
        return role + self._chunk(delta.choice, {"tool_calls": [call]})

    def _media(self, delta: MediaDelta) -> bytes:
        held, role = self._choice(delta.choice)
        media = delta.media
        if media.kind == "image":
            held.images += 1
            return role + self._chunk(delta.choice, {"images": [{"index": held.images - 1, **image_part(media)}]})
        if media.kind != "audio":
            return role
        sound: Json = {"id": media.file_id or "audio_" + self._asked.id}
        if media.data is not None:
            sound["data"] = media.data
        if media.transcript is not None:
            sound["transcript"] = media.transcript
        return role + self._chunk(delta.choice, {"audio": sound})
